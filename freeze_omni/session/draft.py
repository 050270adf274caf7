"""How an answer begins: the LLM reads the end of the turn. After the decision, or before it, on a fork of the dialogue.

A draft goes as far as the first sound. It stays true while the LLM reads nothing more of the user, and is the answer
that would be given without it: the same positions are read, and the same random numbers drawn.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from freeze_omni.llm.engine import Cache, LlmOutput
from freeze_omni.session import history as past
from freeze_omni.session.answer import Answer, AnswerConfig, Writer
from freeze_omni.session.events import Result
from freeze_omni.session.history import History, Turn, embed
from freeze_omni.session.ops import Job
from freeze_omni.system import FreezeOmni

type Generators = tuple[torch.Generator, torch.Generator]
"""One for the text and one for the speech, so that neither depends on the other's pace."""


class Begun(NamedTuple):
    """An answer to be made, and the dialogue before it. start: LLM positions of its turn, and of all before it."""

    answer: Answer
    history: History
    start: tuple[int, int]


def same_draws(generators: Generators) -> Generators:
    """Copies that will draw the same numbers."""
    text, speech = generators
    return text.clone_state(), speech.clone_state()


def spoken_mark(model: FreezeOmni, turn: Turn) -> str:
    """The mark that ends an open turn; empty if nothing was heard."""
    return "" if turn.last is None or not turn.units else model.turn_marks(turn.last[None])[0]


def turn_ends(model: FreezeOmni, body: Tensor, mark: str) -> tuple[Tensor, Tensor]:
    """The whole turn (P, E) after its prefix, and of it the positions that close it; body (B, E): before these."""
    suffix = embed(model, model.turn_end(mark))
    return torch.cat([body.to(suffix.dtype), suffix]), suffix


def closing(
    model: FreezeOmni, history: History, turn: Turn, mark: str, cache: Cache, config: AnswerConfig, draws: Generators
) -> Job[Begun]:
    """The answer to a turn that `cache` has read, after `history`, but for what closes the turn."""
    whole, suffix = turn_ends(model, torch.cat(turn.body), mark)
    last = yield from past.reading(suffix, cache, predict=True)
    return begun(model, history.add_turn(cache, whole), last, config, draws)


def begun(model: FreezeOmni, history: History, last: LlmOutput, config: AnswerConfig, draws: Generators) -> Begun:
    """After a history that ends in the user's turn; last: the LLM's output for its last position."""
    text, speech = draws
    answer = Answer(model, config, Writer(model, history.cache, last, config, text), speech)
    return Begun(answer, history, (len(history.turns[-1]), history.cache.length))


@dataclass(eq=False)
class Draft:
    """The beginning of an answer to an open turn. `begun` once the end of the turn is read.

    turn: as it was heard so far, after `history`. draws: of the session. Nothing of these is changed.
    """

    model: FreezeOmni
    history: History
    turn: Turn
    config: AnswerConfig
    draws: Generators
    mark: str = ""
    begun: Begun | None = None

    def __post_init__(self) -> None:
        self.draws = same_draws(self.draws)

    def may(self, lane: str) -> bool:
        """Whether there is work in a lane; as `Answer`."""
        return lane == "write" if self.begun is None else self.begun.answer.may_begin(lane)

    def make(self, lane: str) -> Job[list[Result]]:
        """One small piece of work; only while `may`."""
        if self.begun is not None:
            return (yield from self.begun.answer.make(lane))
        self.mark = spoken_mark(self.model, self.turn)
        cache = self.turn.cache.fork()
        self.begun = yield from closing(self.model, self.history, self.turn, self.mark, cache, self.config, self.draws)
        return []
