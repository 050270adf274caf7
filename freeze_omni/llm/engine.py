"""What sessions and evaluations ask of an LLM, whatever computes it.

`FrozenLLM` (transformers; training, GPUs) and `LlamaCppLLM` (GGUF files on a CPU) are held to tests/llm/test_engine.py.
A cache is a value: what the LLM has read of one dialogue. It is opened by `new_cache`, copied by `fork`, shortened by
`cut`, and closed when nobody holds it any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from freeze_omni.llm.order import ReadingOrder


class LlmOutput(NamedTuple):
    """At the last position read: hidden state (E,) after the final norm; logits (V,) of what follows, if asked for."""

    hidden: Tensor
    logits: Tensor | None


class Cache(Protocol):
    """What was read of a dialogue."""

    @property
    def length(self) -> int:
        """Positions in it."""

    def fork(self) -> Self:
        """An independent copy."""

    def cut(self, length: int) -> None:
        """Forget all positions from `length` on."""


class LlmEngine(Protocol):
    """A causal LM as a function of input embeddings (P, E) and caches. No gradient flows through these."""

    tokenizer: Any
    source: str  # folder or hub id
    chat: Any  # ChatTemplate

    @property
    def own_positions(self) -> int:
        """Positions of the context that are taken before anything is read."""

    @property
    def context_positions(self) -> int:
        """Positions that a dialogue may take."""

    @property
    def most_dialogues(self) -> int:
        """Sessions that there are caches for."""

    @property
    def forks_share(self) -> bool:
        """Whether a fork has what it was forked from in common with it, so that it costs only what it reads itself."""

    @property
    def order(self) -> ReadingOrder:
        """The order in which a dialogue is read."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""

    @property
    def device(self) -> torch.device: ...

    def new_cache(self) -> Any:
        """A `Cache` of nothing."""

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (...) to input embeddings (..., E)."""

    def read_rows(self, embeds: Sequence[Tensor], caches: Sequence[Any]) -> list[Tensor]:
        """Dialogues of any age at once: (P_i, E) to hidden states (P_i, E), each after its own cache, as alone but for
        rounding."""

    def follow_rows(self, embeds: Sequence[Tensor], caches: Sequence[Any], asked: Sequence[bool]) -> list[LlmOutput]:
        """As `read_rows`, of the last position of each row; with logits where `asked`."""

    def logits(self, hidden: Tensor, ids: Sequence[int] | None = None) -> Tensor:
        """Hidden states (..., E) after the final norm to logits (..., V), or of the tokens `ids` alone."""

    def fingerprint(self) -> str:
        """Of the weights that are computed with."""


def end_ids(chat: Any, tokenizer: Any, generation: Any, given_chat: bool) -> frozenset[int]:
    """Tokens that end an answer: of template, tokenizer and generation config, if any; of a given template alone."""
    if given_chat:
        return frozenset([chat.end_id])
    eos = getattr(generation, "eos_token_id", None)
    found = list(eos) if isinstance(eos, list | tuple) else [eos]
    if tokenizer is not None:
        found += [chat.end_id, tokenizer.eos_token_id]
    return frozenset(token for token in found if token is not None)


def scaled(logits: Tensor, config: Any) -> Tensor:
    """The output matrix' products as the architecture's logits: scaled and capped. config: of transformers."""
    logits = logits / (getattr(config, "logits_scaling", None) or 1)  # Granite
    logits = logits * (getattr(config, "logit_scale", None) or 1)  # Cohere
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    return logits if cap is None else cap * torch.tanh(logits / cap)


def context_positions(config: Any) -> int:
    """By a transformers configuration; practically endless for an LLM that names no limit."""
    return getattr(config, "max_position_embeddings", None) or 2**31
