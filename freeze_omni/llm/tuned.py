"""The frozen LLM with something learned next to it (ours, for ablations: the paper tunes nothing but prompts).

Either keys and values before every layer (prefix tuning, P-tuning v2; arXiv 2101.00190, 2110.07602), which take the
first positions of every dialogue, or low-rank adapters on the attention (LoRA, arXiv 2106.09685). The LLM's weights do
not change, but its answers to text do: measure the score on text (docs/ablations.md).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from freeze_omni.llm.cache import GrowingLayer, LlmCache, PassLayer, cache_argument
from freeze_omni.llm.frozen import FrozenLLM, count

PART = "llm_tuning"  # in checkpoints and configurations


@dataclass(frozen=True)
class LearnedPrefixConfig:
    positions: int = 16

    def __post_init__(self) -> None:
        if self.positions < 1:
            raise ValueError("prefix: positions must be 1 or more")


class LearnedPrefix(nn.Module):
    """keys and values (heads, positions, dim) of every layer, at first the LLM's own of a text that it knows."""

    def __init__(self, config: LearnedPrefixConfig, model: nn.Module, start: Tensor | None = None):
        """start (1, P, E): of that text, repeated; None: noise. Raises ValueError: a layer that keeps no keys."""
        super().__init__()
        self.positions = config.positions
        if start is None:
            width = model.get_input_embeddings().weight
            start = torch.randn(1, 1, width.shape[1], device=width.device)
        repeats = -(-config.positions // start.shape[1])
        layers = read_layers(model, start.repeat(1, repeats, 1)[:, : config.positions])
        self.keys = nn.ParameterList(layer.keys[0].float().clone() for layer in layers)
        self.values = nn.ParameterList(layer.values[0].float().clone() for layer in layers)

    def applied(self) -> AbstractContextManager[None]:
        """The LLM is unchanged: the prefix is in the cache."""
        return nullcontext()

    @torch.no_grad()
    def begin(self, cache: LlmCache, rows: int, dtype: torch.dtype) -> None:
        """Put the prefix into an empty cache of this number of rows; leave another as it is."""
        if cache.length == 0:
            for layer, (key, value) in zip(cache.layers, self._of_rows(rows), strict=True):
                layer.update(key.to(dtype), value.to(dtype))

    def learning_cache(self, cache: LlmCache, rows: int, dtype: torch.dtype) -> LlmCache:
        """`cache`, which is empty, with the prefix in it, and gradient from what is read after it."""
        for number, (key, value) in enumerate(self._of_rows(rows)):
            cache.layers[number] = PassLayer(cache.layers[number].is_sliding, key.to(dtype), value.to(dtype))
        return cache

    def _of_rows(self, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        for key, value in zip(self.keys, self.values, strict=True):
            yield key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1)


@torch.no_grad()
def read_layers(model: nn.Module, embeds: Tensor) -> list[Any]:
    """The cache's layers after a pass over embeds (1, P, E). Raises ValueError if one of them keeps no keys."""
    cache, decoder = LlmCache(model.config), model.get_decoder()
    decoder(inputs_embeds=embeds.to(model.dtype), use_cache=True, **cache_argument(decoder, cache))
    for layer in cache.layers:
        if not isinstance(layer, GrowingLayer):
            raise ValueError(f"prefix: a {type(layer).__name__} of the LLM's cache keeps no keys: use lora")
    return cache.layers


@dataclass(frozen=True)
class LoraConfig:
    """rank: of each adapter. alpha: what an adapter adds is scaled by alpha / rank. projections: endings of the
    names of the layers that get one: as q_proj, of the attention; as mlp.up_proj, with a dot, of any linear layer; none
    names all projections of the attention."""

    rank: int = 8
    alpha: float = 16.0
    projections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError("lora: rank must be 1 or more, alpha positive")


def adapted_layers(model: nn.Module, endings: Sequence[str] = ()) -> dict[str, nn.Module]:
    """The linear layers of any transformers model that get an adapter, by name, in the model's order.

    Without endings those inside its attention modules. Raises ValueError if there are none, or an ending names none.
    """
    modules = dict(model.named_modules())
    inside = tuple(name + "." for name, module in modules.items() if type(module).__name__.endswith("Attention"))
    linear = {name: module for name, module in modules.items() if isinstance(module, nn.Linear | Conv1D)}
    found = {name: module for name, module in linear.items() if name.startswith(inside)}
    if not found:
        raise ValueError(f"lora: {type(model).__name__} has no attention module with linear layers")
    if not endings:
        return found
    chosen: set[str] = set()
    for ending in endings:
        named = {name for name in (linear if "." in ending else found) if name.endswith(ending)}
        if not named:
            names = ", ".join(sorted({name.split(".")[-1] for name in found}))
            raise ValueError(f"lora: no projection of the attention ends in '{ending}'; there are: {names}")
        chosen |= named
    return {name: module for name, module in linear.items() if name in chosen}


class Lora(nn.Module):
    """Adds up(down(x)) * alpha / rank to each projection while applied: down (rank, inputs), up (outputs, rank)."""

    positions = 0

    def __init__(self, config: LoraConfig, model: nn.Module):
        super().__init__()
        self.scale = config.alpha / config.rank
        self._layers = tuple(adapted_layers(model, config.projections).values())  # no submodules of this one
        # (outputs, inputs) as in nn.Linear; a Conv1D (GPT-2's kind) has its weight the other way round
        shapes = [(layer.weight.T if isinstance(layer, Conv1D) else layer.weight).shape for layer in self._layers]
        self.down = nn.ParameterList(torch.empty(config.rank, inputs) for _, inputs in shapes)
        self.up = nn.ParameterList(torch.zeros(outputs, config.rank) for outputs, _ in shapes)
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the LLM computes with the adapters."""
        pairs = zip(self._layers, self.down, self.up, strict=True)
        with ExitStack() as hooks:
            for layer, down, up in pairs:
                hooks.callback(layer.register_forward_hook(partial(self._add, down, up)).remove)
            yield

    def begin(self, cache: Any, rows: int, dtype: torch.dtype) -> None:
        """Nothing precedes a dialogue."""

    def _add(self, down: Tensor, up: Tensor, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        low = inputs[0].to(down.dtype) @ down.T
        return output + (self.scale * (low @ up.T)).to(output.dtype)


@dataclass(frozen=True)
class LlmTuningConfig:
    """`llm_tuning: {prefix: {positions: 16}}` or `llm_tuning: {lora: {rank: 8}}`; an empty mapping takes the
    defaults. Without the key nothing of the LLM is tuned."""

    prefix: LearnedPrefixConfig | None = None
    lora: LoraConfig | None = None

    def __post_init__(self) -> None:
        if (self.prefix is None) == (self.lora is None):
            raise ValueError("choose one: `prefix: {}` or `lora: {}`; leave llm_tuning out to tune neither")


def build_tuning(config: LlmTuningConfig, llm: FrozenLLM) -> LearnedPrefix | Lora:
    """What is learned, with fresh weights (a prefix: of a plain system turn); on the meta device for an LLM there.

    Raises ValueError if the LLM cannot be tuned so.
    """
    if config.lora is not None:
        return Lora(config.lora, llm.model)
    start = None
    if llm.chat is not None:
        ids = llm.chat.system("You are a helpful assistant.")
        start = llm.embed(torch.tensor([ids], device=llm.model.device))
    return LearnedPrefix(config.prefix, llm.model, start)


class TunedLLM(FrozenLLM):
    """A FrozenLLM whose passes use what was learned, a part of the model that holds both."""

    def __init__(self, plain: FrozenLLM, tuning: LearnedPrefix | Lora):
        super().__init__(plain.model, plain.tokenizer, plain.source, plain.chat)
        self.given_chat, self.own_positions = plain.given_chat, tuning.positions
        self.packing, self.checkpointing = plain.packing, plain.checkpointing
        self._held = plain, tuning  # in a tuple: neither is a submodule, so neither is frozen, moved or saved twice

    @property
    def plain(self) -> FrozenLLM:
        return self._held[0]

    @property
    def tuning(self) -> LearnedPrefix | Lora:
        return self._held[1]

    def forward(
        self, embeds: Tensor, mask: Tensor | None = None, cache: LlmCache | None = None
    ) -> tuple[Tensor, LlmCache | None]:
        """As a FrozenLLM's. An empty cache gets the prefix first, and its length counts it."""
        if cache is not None:
            self.tuning.begin(cache, len(embeds), self.model.dtype)
        return super().forward(embeds, mask, cache)

    def applied(self) -> AbstractContextManager[None]:
        return self.tuning.applied()

    def pass_cache(self, rows: int) -> LlmCache:
        cache = super().pass_cache(rows)
        return self.tuning.learning_cache(cache, rows, self.model.dtype) if self.own_positions else cache

    def read_rows(self, embeds: Sequence[Tensor], caches: Sequence[LlmCache]) -> list[Tensor]:
        """As a FrozenLLM's, each row after the prefix."""
        for cache in caches:
            self.tuning.begin(cache, 1, self.model.dtype)
        return super().read_rows(embeds, caches)

    def _padded(self, embeds: Tensor, mask: Tensor | None) -> Tensor:
        """A pass without cache becomes one after the prefix, with gradient."""
        size, rows = self.own_positions, len(embeds)
        if not size:
            return super()._padded(embeds, mask)
        arguments: dict[str, Any] = {}
        if mask is not None:
            arguments["attention_mask"] = torch.cat([mask.new_ones(rows, size), mask], dim=1)
            arguments["position_ids"] = count(mask) + size
        return self._run(embeds, use_cache=True, cache=self.pass_cache(rows), **arguments)


def tuned[L](llm: L, tuning: nn.Module | None) -> L | TunedLLM:
    """The LLM with what was learned, or as it is if that is None. Raises ValueError: an LLM that is no FrozenLLM."""
    if tuning is None:
        return llm
    if not isinstance(llm, FrozenLLM):
        raise ValueError(f"{PART}: {type(llm).__name__} does not compute with what was learned with the LLM")
    return TunedLLM(llm, tuning)
