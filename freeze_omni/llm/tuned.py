"""The frozen LLM with something learned next to it (ours, for ablations: the paper tunes nothing but prompts).

Its weights do not change, and `plain` is the same LLM without what was learned. Its answers to text do change, though:
measure the score on text (docs/ablations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.learned_prefix import LearnedPrefix, LearnedPrefixConfig
from freeze_omni.llm.lora import Lora, LoraConfig

PART = "llm_tuning"  # in checkpoints and configurations


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
    """What is learned, with fresh weights; on the meta device for an LLM there.

    A prefix starts with the LLM's keys and values of a plain system turn. Raises ValueError if the LLM cannot be
    tuned so.
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
        self.given_chat = plain.given_chat
        self._held = plain, tuning  # in a tuple: neither is a submodule, so neither is frozen, moved or saved twice

    @property
    def plain(self) -> FrozenLLM:
        return self._held[0]

    @property
    def tuning(self) -> LearnedPrefix | Lora:
        return self._held[1]

    @property
    def own_positions(self) -> int:
        return self.tuning.positions

    def forward(
        self, embeds: Tensor, mask: Tensor | None = None, cache: LlmCache | None = None
    ) -> tuple[Tensor, LlmCache | None]:
        """As a FrozenLLM's. An empty cache gets the prefix first, and its length counts it."""
        if cache is not None:
            self.tuning.begin(cache, len(embeds), self.model.dtype)
        return super().forward(embeds, mask, cache)

    def read_rows(self, embeds: Sequence[Tensor], caches: Sequence[LlmCache]) -> list[Tensor]:
        """As a FrozenLLM's, each row after the prefix."""
        for cache in caches:
            self.tuning.begin(cache, 1, self.model.dtype)
        with self.tuning.applied():
            return super().read_rows(embeds, caches)

    def _run(self, embeds: Tensor, use_cache: bool, **arguments: Any) -> Tensor:
        if not use_cache and self.own_positions:
            arguments = self._after_prefix(embeds, arguments)
            use_cache = True
        with self.tuning.applied():
            return super()._run(embeds, use_cache=use_cache, **arguments)

    def _after_prefix(self, embeds: Tensor, arguments: dict[str, Any]) -> dict[str, Any]:
        """A pass without cache becomes one after the prefix, with gradient."""
        size, rows = self.own_positions, len(embeds)
        cache = self.tuning.learning_cache(self.new_cache(), rows, self.model.dtype)
        if "attention_mask" in arguments:
            mask = arguments["attention_mask"]
            arguments["attention_mask"] = torch.cat([mask.new_ones(rows, size), mask], dim=1)
            arguments["position_ids"] = arguments["position_ids"] + size
        return arguments | {"cache": cache}


def tuned(llm: FrozenLLM, tuning: nn.Module | None) -> FrozenLLM:
    """The LLM with what was learned, or as it is if that is None."""
    return llm if tuning is None else TunedLLM(llm, tuning)
