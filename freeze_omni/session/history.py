"""What the LLM remembers of a dialogue: turns as positions, within the LLM's context."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Job, Read


@dataclass(frozen=True)
class History:
    """The system prompt and finished turns; `cache` holds exactly these.

    turns: for each the positions (P, E) behind its prefix: prompt, speech or text, suffix, answer.
    """

    system: str
    cache: LlmCache
    turns: tuple[Tensor, ...] = field(default=())


def embed(model: SpokenModel, ids: list[int]) -> Tensor:
    """LLM ids to positions (P, E)."""
    with torch.no_grad():
        return model.llm.embed(torch.tensor(ids, dtype=torch.long, device=model.llm.model.device))


READ_POSITIONS = 32
"""The LLM reads long texts in pieces of so many positions, so that nobody's listening waits for one."""


def reading(embeds: Tensor, cache: LlmCache) -> Job[Tensor]:
    """Read positions (P, E), P > 0, piece by piece; the hidden state (E,) of the last."""
    hidden = None
    for piece in embeds.split(READ_POSITIONS):
        hidden = yield Read(piece, cache)
    return hidden[-1].clone()


def starting(model: SpokenModel, system: str, turns: tuple[Tensor, ...] = ()) -> Job[History]:
    """Read system prompt and turns from nothing."""
    cache = model.llm.new_cache()
    pieces = [embed(model, model.llm.chat.system(system))]
    for number, turn in enumerate(turns):
        pieces += [embed(model, model.llm.chat.user_prefix(first=number == 0)), turn]
    yield from reading(torch.cat(pieces), cache)
    return History(system, cache, turns)


def making_room(model: SpokenModel, history: History, positions: int) -> Job[History]:
    """Drop the oldest turns, never the system prompt, until `positions` more fit into the LLM's context."""
    limit = getattr(model.llm.config, "max_position_embeddings", None) or 2**31
    if not history.turns or history.cache.length + positions <= limit:
        return history
    turns, excess = list(history.turns), history.cache.length + positions - limit
    while turns and excess > 0:
        excess -= len(turns.pop(0))
    return (yield from starting(model, history.system, tuple(turns)))


def add_turn(history: History, cache: LlmCache, turn: Tensor) -> History:
    """The history with one more turn (P, E), which `cache` has read."""
    return replace(history, cache=cache, turns=(*history.turns, turn))


def extend_last_turn(history: History, positions: Tensor) -> History:
    """The last turn with `positions` (P, E) behind it, which the cache has read already."""
    *before, last = history.turns
    return replace(history, turns=(*before, torch.cat([last, positions.to(last.dtype)])))


def cut_last_turn(history: History, positions: int) -> History:
    """Forget all of the last turn but its first `positions`."""
    if not history.turns:
        return history
    *before, last = history.turns
    dropped = len(last) - positions
    if dropped <= 0:
        return history
    history.cache.cut(history.cache.length - dropped)
    return replace(history, turns=(*before, last[:positions]))
