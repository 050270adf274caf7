"""The whole listening chain under the law, from samples to positions of the LLM, with each adapter and without CTC."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.duplex.reference import EchoReference
from freeze_omni.encoder.ctc import CtcHead, NoCtcHead
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.listening import Listening, ListeningOutput
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows, rows_of
from tests.contract.parts.adapter import CHOICES, POOL, SIZE, UNITS, WORDS, toy_adapter
from tests.contract.parts.encoder import toy_encoder
from tests.contract.parts.search import toy_search

CHUNK = 2560


def _part(choice: AdapterChoice | None, look: str, ctc: bool = True) -> Part:
    """look: "positions", what the adapter sends; "frames", the encoder's; "units", of the CTC head; or "summary", of
    each chunk, with the echo reference of a system that is silent."""
    head = CtcHead(SIZE, UNITS) if ctc else NoCtcHead()
    encoder = toy_encoder(input_size=80, size=SIZE)
    search = toy_search() if choice is not None and choice.needs_words else None
    adapter = None if choice is None else toy_adapter(choice)
    reference = EchoReference(CHUNK) if look == "summary" else None
    listening = Listening(Fbank(FbankConfig()), encoder, head, adapter, search, CHUNK, reference)

    def seen(out: ListeningOutput) -> Rows:
        if look == "positions":
            return rows_of(out.adapted.embeds, out.adapted.lengths)
        if look == "summary":
            return rows_of(out.adapted.summary, -(-out.lengths // 4))
        if look == "frames":
            return rows_of(out.frames, out.lengths)
        return [torch.tensor(row, dtype=torch.long) for row in listening.units(out)]

    def step(wav: Tensor, state: State) -> tuple[Rows, State]:
        out, state = listening.step(wav, state)
        return seen(out), state

    return Part(
        chunk=CHUNK,
        make_input=lambda batch, size: 0.2 * torch.randn(batch, size),
        forward=lambda wav, lengths: seen(listening(wav, lengths)),
        initial_state=listening.initial_state,
        step=step,
        tolerance=2e-4,
    )


PARTS = {
    "listening_conv": partial(_part, CHOICES["conv"], "positions"),
    "listening_ctc": partial(_part, CHOICES["ctc"], "positions"),
    "listening_without_ctc": partial(_part, AdapterChoice(conv=ConvAdapterConfig()), "positions", ctc=False),
    "listening_without_adapter": partial(_part, None, "frames"),
    "listening_units": partial(_part, CHOICES["ctc"], "units"),
    "listening_words": partial(_part, WORDS, "positions"),
    "listening_pool": partial(_part, POOL, "positions"),
    "listening_summary": partial(_part, CHOICES["conv"], "summary"),
    "listening_said": partial(_part, WORDS, "units"),
}
