"""What the LLM has read of a dialogue: finished turns as positions within its context, and the open turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.duplex.reference import SIZE as REFERENCE_SIZE
from freeze_omni.frontend.vad import SILENT
from freeze_omni.llm.engine import Cache, LlmOutput
from freeze_omni.session.events import Ahead, Heard
from freeze_omni.session.ops import Hear, Job, Listened, Read
from freeze_omni.streaming import State, part_state
from freeze_omni.system import FreezeOmni

READ_POSITIONS = 32
"""The LLM reads long texts in pieces of this many positions, so that no other session's listening waits for one."""
AHEAD_CHUNKS = 2
"""Chunks of a silence that are heard ahead: in the next one the head hears for itself."""


@dataclass(frozen=True)
class History:
    """System prompt and turns, each the positions (P, E) after its prefix; `cache` holds exactly these."""

    system: str
    cache: Cache
    turns: tuple[Tensor, ...] = ()

    def prefix(self, model: FreezeOmni) -> list[int]:
        """LLM ids that open the next user turn."""
        return model.llm.order.prefix(first=not self.turns)

    def add_turn(self, cache: Cache, turn: Tensor) -> History:
        """With one more turn (P, E), which `cache` has read."""
        return replace(self, cache=cache, turns=(*self.turns, turn))

    def extend_last_turn(self, positions: Tensor) -> History:
        """With `positions` (P, E) after the last turn, which the cache has read already."""
        *before, last = self.turns
        return replace(self, turns=(*before, torch.cat([last, positions.to(last.dtype)])))

    def cut_last_turn(self, positions: int) -> History:
        """Forget all of the last turn but its first `positions`."""
        dropped = len(self.turns[-1]) - positions if self.turns else 0
        if dropped <= 0:
            return self
        self.cache.cut(self.cache.length - dropped)
        *before, last = self.turns
        return replace(self, turns=(*before, last[:positions]))


def embed(model: FreezeOmni, ids: list[int]) -> Tensor:
    """LLM ids to positions (P, E)."""
    with torch.no_grad():
        return model.llm.embed(torch.tensor(ids, dtype=torch.long, device=model.device))


def reading(embeds: Tensor, cache: Cache, predict: bool = False) -> Job[LlmOutput]:
    """Read positions (P, E), P > 0, piece by piece; the output of the last piece."""
    *pieces, last = embeds.split(READ_POSITIONS)
    for piece in pieces:
        yield Read(piece, cache)
    return (yield Read(last, cache, predict))


def starting(model: FreezeOmni, system: str, turns: tuple[Tensor, ...] = ()) -> Job[History]:
    """Read system prompt and turns from nothing."""
    cache, order = model.llm.new_cache(), model.llm.order
    pieces = [embed(model, order.system(system))]
    for number, turn in enumerate(turns):
        pieces += [embed(model, order.prefix(first=number == 0)), turn]
    yield from reading(torch.cat(pieces), cache)
    return History(system, cache, turns)


def with_system(model: FreezeOmni, history: History, system: str, positions: int) -> Job[History]:
    """The dialogue with another system prompt, without the oldest turns if else `positions` more would not fit."""
    order, turns = model.llm.order, list(history.turns)
    sizes = [len(order.prefix(first=False)) + len(turn) for turn in turns]
    excess = len(order.system(system)) + sum(sizes) + positions - model.llm.context_positions
    while turns and excess > 0:
        excess -= sizes.pop(0)
        turns.pop(0)
    return (yield from starting(model, system, tuple(turns)))


def making_room(model: FreezeOmni, history: History, positions: int) -> Job[History]:
    """Drop the oldest turns, never the system prompt, until `positions` more fit into the LLM's context."""
    limit = model.llm.context_positions + model.llm.own_positions
    if not history.turns or history.cache.length + positions <= limit:
        return history
    turns, excess = list(history.turns), history.cache.length + positions - limit
    while turns and excess > 0:
        excess -= len(turns.pop(0))
    return (yield from starting(model, history.system, tuple(turns)))


def rereading_last_turn(model: FreezeOmni, history: History, question: Tensor, answer: Tensor) -> Job[History]:
    """The last turn as `question` (P, E) and `answer` (A, E) instead, which the LLM reads now."""
    turn = torch.cat([question, answer.to(question.dtype)])
    history = yield from making_room(model, history, max(len(turn) - len(history.turns[-1]), 0))
    if not history.turns:
        return history
    history.cache.cut(history.cache.length - len(history.turns[-1]))
    yield from reading(turn, history.cache)
    return replace(history, turns=(*history.turns[:-1], turn))


@dataclass(frozen=True)
class Turn:
    """An open user turn. `body` are the positions read so far after the turn's prefix: prompt and speech.

    listening: state of the listening chain. cache: belongs to this turn alone. unread (P, E): what opens the turn,
    until the LLM reads it, at the latest together with the first speech. last (E,): hidden state of the last position
    read. loudest: level of its loudest chunk; silent: chunks since the last that was not far below. ahead: the turn as
    it will be if the user stays silent.
    """

    listening: State
    cache: Cache
    unread: Tensor | None
    last: Tensor | None = None
    units: tuple[int, ...] = ()
    text: str = ""
    body: tuple[Tensor, ...] = ()
    loudest: float = 0.0
    silent: int = 0
    ahead: Turn | None = None


def open_turn(model: FreezeOmni, cache: Cache, prefix: list[int]) -> Turn:
    """A turn that has heard nothing; LLM ids `prefix` and the prompt are yet to be read into `cache`."""
    start = embed(model, prefix)
    prompt = model.prompt.weight.detach().to(start.dtype)
    state = model.listening.initial_state(1, model.device)
    return Turn(state, cache, torch.cat([start, prompt]), body=(prompt,))


def opened(turn: Turn) -> Job[Turn]:
    """The turn after the LLM has read what opens it."""
    last = yield from reading(turn.unread, turn.cache)
    return replace(turn, unread=None, last=last.hidden)


def hearing(
    model: FreezeOmni, samples: np.ndarray, turn: Turn, played: np.ndarray | None = None, ahead: bool = False
) -> Job[tuple[Heard, Turn]]:
    """Hear whole chunks (k * chunk_samples,); the state decided on is that at the end of the last. played: what the
    system played meanwhile. ahead: where the user has just fallen silent, also as if that went on, until all that was
    said is there.

    A chunk for which the adapter sends no position reads the state at the last position before it, and differs from
    the chunk before by its summary (mean encoder frame).
    """
    heard, turn = yield from _hearing(model, samples, turn, played)
    turn = _levelled(turn, samples.reshape(-1, model.rates.chunk_samples))
    if not ahead or not 1 <= turn.silent <= AHEAD_CHUNKS:
        return heard, turn
    silence = np.zeros(model.listening.end_samples, dtype=np.float32)
    later, end = yield from _hearing(model, silence, replace(turn, cache=turn.cache.fork()))
    told = Ahead(later.transcript, later.probabilities, later.positions)
    return replace(heard, ahead=told), replace(turn, ahead=end)


def _levelled(turn: Turn, chunks: np.ndarray) -> Turn:
    """The turn after chunks (k, chunk_samples), by their levels."""
    loudest, silent = turn.loudest, turn.silent
    for level in np.sqrt(np.mean(np.square(chunks, dtype=np.float64), axis=1)):
        loudest = max(loudest, float(level))
        silent = silent + 1 if level < SILENT * loudest else 0
    return replace(turn, loudest=loudest, silent=silent, ahead=None)


def _hearing(
    model: FreezeOmni, samples: np.ndarray, turn: Turn, played: np.ndarray | None = None
) -> Job[tuple[Heard, Turn]]:
    heard = yield Hear(samples, turn.listening, played)
    embeds = heard.embeds if turn.unread is None else torch.cat([turn.unread, heard.embeds.to(turn.unread.dtype)])
    last, body = turn.last, turn.body
    if len(embeds):
        last = (yield Read(embeds, turn.cache)).hidden
    if len(heard.embeds):
        body = (*body, heard.embeds)
    with torch.no_grad():
        states = model.state_head(last[None, None], heard.summary[None])
    units = (*turn.units, *heard.units)
    text = model.written(units) if heard.units else turn.text
    # nothing new if a unit changed the text before it (a byte of a character)
    new = text[len(turn.text) :] if text.startswith(turn.text) else ""
    turn = replace(turn, listening=heard.state, unread=None, last=last, units=units, text=turn.text + new, body=body)
    probabilities = tuple(states[0, -1].float().softmax(-1).tolist())
    return Heard(new, probabilities, len(heard.embeds), echo=_echo(model, heard)), turn


def _echo(model: FreezeOmni, heard: Listened) -> float:
    if model.reference is None:
        return 0.0
    state = part_state(heard.state, "reference")
    return model.reference.newest_likeness(heard.summary[0, -REFERENCE_SIZE:], state)
