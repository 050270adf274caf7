"""The adapters under the law: what they send, and where their chunks end."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.adapter.ctc import CtcAdapterConfig
from freeze_omni.adapter.output import Adapter, AdapterOutput
from freeze_omni.adapter.pool import PoolAdapterConfig
from freeze_omni.adapter.words import WordAdapterConfig, WordTokens
from freeze_omni.streaming import State, join_parts, part_state
from tests.contract.law import Part, Rows, rows_of
from tests.contract.parts.search import toy_search

SIZE, UNITS = 8, 5


def toy_adapter(choice: AdapterChoice, llm_size: int = 12) -> Adapter:
    """A small adapter in evaluation mode whose projection and statistics do something."""
    adapter = build_adapter(choice, SIZE, llm_size, torch.randn(UNITS, llm_size), toy_words(llm_size)).eval()
    torch.nn.init.normal_(adapter.project.weight)
    for module in adapter.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return adapter


def toy_words(llm_size: int) -> WordTokens:
    """One or two tokens for each word of `toy_search`."""
    table = torch.randn(9, llm_size)
    ids = torch.tensor([[0, -1], [1, 2], [3, -1], [4, 5], [6, -1], [7, 8]])
    return WordTokens(torch.stack([ids, ids.flip(0)]), lambda ids: table[ids])


def _part(choice: AdapterChoice, look: str) -> Part:
    """look: "sent", the positions; or "chunks", how many each chunk sends and its summary."""
    adapter = toy_adapter(choice)

    def seen(output: AdapterOutput, frames: Tensor) -> Rows:
        if look == "sent":
            return rows_of(output.embeds, output.lengths)
        sent = output.ends.diff(dim=1, prepend=torch.zeros_like(output.ends[:, :1]))
        chunks = torch.cat([sent[..., None].float(), output.summary], dim=-1)
        return rows_of(chunks, frames // 4)

    def step(x: Tensor, state: State) -> tuple[Rows, State]:
        output, state = adapter.step(x[..., :SIZE], state, x[..., SIZE:])
        return seen(output, torch.full((len(x),), x.shape[1])), state

    return Part(
        chunk=4,
        make_input=lambda batch, size: torch.randn(batch, size, SIZE + UNITS),
        forward=lambda x, lengths: seen(adapter(x[..., :SIZE], lengths, x[..., SIZE:]), lengths),
        initial_state=adapter.initial_state,
        step=step,
    )


def _spoken(choice: AdapterChoice) -> Part:
    """The positions of an adapter of words, which a word search finds in noise: one or two a chunk."""
    adapter, search = toy_adapter(choice), toy_search()

    def step(x: Tensor, state: State) -> tuple[Rows, State]:
        said, searched = search.step(x[..., SIZE:], part_state(state, "search"))
        output, adapted = adapter.step(x[..., :SIZE], part_state(state, "adapter"), said=said)
        return rows_of(output.embeds, output.lengths), join_parts({"search": searched, "adapter": adapted})

    def forward(x: Tensor, lengths: Tensor) -> Rows:
        output = adapter(x[..., :SIZE], lengths, said=search(x[..., SIZE:], lengths))
        return rows_of(output.embeds, output.lengths)

    return Part(
        chunk=4,
        make_input=lambda batch, size: 3 * torch.randn(batch, size, SIZE + UNITS),
        forward=forward,
        initial_state=lambda batch: join_parts(
            {"search": search.initial_state(batch), "adapter": adapter.initial_state(batch)}
        ),
        step=step,
    )


WORDS = AdapterChoice(words=WordAdapterConfig())
POOL = AdapterChoice(pool=PoolAdapterConfig(size=16, heads=2, reach=12))  # shorter than the law's inputs
CHOICES = {
    "conv": AdapterChoice(conv=ConvAdapterConfig()),
    "two_convs": AdapterChoice(conv=ConvAdapterConfig(kernel=3, norm="batch", activation="relu", convolutions=2)),
    "ctc": AdapterChoice(ctc=CtcAdapterConfig()),
    "ctc_best": AdapterChoice(ctc=CtcAdapterConfig(best=True)),
    "ctc_projection": AdapterChoice(ctc=CtcAdapterConfig(posterior=False)),
}

PARTS = {
    f"adapter_{name}_{look}": partial(_part, choice, look)
    for name, choice in CHOICES.items()
    for look in ("sent", "chunks")
} | {"adapter_words": partial(_spoken, WORDS), "adapter_pool": partial(_spoken, POOL)}
