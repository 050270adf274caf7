"""What goes into a dialogue and what comes out of it.

`Event`: from the user's side. `Result`: from the model, the result of a piece of `Work`. The reducer takes both and
returns `Action`s for the user's side and `Work` for the model. All are plain values: a log of events replays a session.
"""

from dataclasses import dataclass
from typing import dataclass_transform

import numpy as np

LISTEN_ON, ANSWER, NO_ANSWER, WAIT = 0, 1, 2, 3
"""The states of the head: the user still speaks; has finished, answer; has finished, do not answer; and, of a head with
`wait`, asks the system to wait."""
STATE_NAMES = ("listening on", "answer", "nothing to answer", "wait")


@dataclass_transform(frozen_default=True)
class Value:
    """A plain value: every subclass is a frozen dataclass."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


class Event(Value):
    """Something that the user or the user's device did."""


class AudioChunk(Event):
    """One step of the user's audio: (chunk_samples,) float32 in [-1, 1] at the model's input rate; played: what the
    system played meanwhile, as many; None for nothing."""

    samples: np.ndarray
    played: np.ndarray | None = None


class VadOpened(Event):
    """The voice activity detector hears speech: the gate opens."""


class VadClosed(Event):
    """The voice activity detector no longer hears speech."""


class TextInput(Event):
    text: str  # a turn that the user typed


class Interrupt(Event):
    """The user pressed stop."""

    answer: int = 0  # as of `Truncate`: sound that came before may have begun another answer since


class Played(Event):
    samples: int  # how much of the present answer the user has heard, at the output rate


class Timeout(Event):
    """Do not wait any longer for the end of the user's turn: answer it if words were heard, else drop it."""


class Respond(Event):
    """Answer what was said in the open turn now, whatever the state head says; with nothing said, speak first."""


class Clear(Event):
    """Forget the open turn and what was kept from before it."""


class Truncate(Event):
    """The user heard only this many samples of an answer, which may have ended since."""

    samples: int
    answer: int = 0  # its number, from 1, or 0 for the last; nothing happens if it is not the last


class Remember(Event):
    """A finished exchange in text from before, to be added to the history."""

    user: str
    answer: str


class SystemPrompt(Event):
    """Nothing is lost by it: the history stays, an answer is made to its end first, and the open turn goes on."""

    text: str


class Result(Value):
    """What came of a piece of work."""


class Ahead(Value):
    """What will be heard if the user, who has just fallen silent, stays so: as `Heard`, of the sound that is still
    under way in the model."""

    transcript: str
    probabilities: tuple[float, ...]
    positions: int = 0


class Heard(Result):
    """Of `Listen`: new words of the CTC head, the probabilities of the state head's states, and how many positions the
    LLM has read of it. ahead: of sessions that listen ahead, where the user has just fallen silent. echo: how alike the
    newest chunk is to what the system plays, -1 to 1; 0 of models that do not read that."""

    transcript: str
    probabilities: tuple[float, ...]
    positions: int = 0
    ahead: Ahead | None = None
    echo: float = 0.0


class Wrote(Result):
    text: str  # new text of the answer


class Spoke(Result):
    """Audio (S,) of a segment, which says LLM tokens first_token to end_token of the answer."""

    samples: np.ndarray
    first_token: int
    end_token: int
    segment_ends: bool


class AnswerMade(Result):
    cut: bool  # all of the answer is written and spoken; whether a limit ended it


class Action(Value):
    """Something for the user's side."""


class StateDecision(Action):
    """The state head's decision on a chunk that ended `time_s` after the session's start."""

    state: int
    probabilities: tuple[float, ...]
    time_s: float


class TranscriptDelta(Action):
    text: str  # new words of the user's turn
    final: bool = False  # these are the turn's last


class TextDelta(Action):
    text: str  # new text of the answer


class PlayAudio(Action):
    samples: np.ndarray  # (S,) float32 at the model's output rate, to be played after those before


class StopAudio(Action):
    """Drop what has not been played."""


class PauseAudio(Action):
    """Fall silent, and keep what has not been played, and what still comes, for later."""


class ResumeAudio(Action):
    """Play on from where it was paused."""


class AnswerBegun(Action):
    """The user's turn is in the history and its answer is being made: the session's answer `number`, from 1."""

    number: int


class AnswerKept(Action):
    text: str  # what the history has of the last answer
    reason: str  # `done` (all of it), `length` (all, but a limit cut it) or `interrupted` (what was heard)


class AnswerEnded(Action):
    reason: str  # `done`, `length` (a limit cut it), `interrupted`


class Work(Value):
    """Something for the model."""


class OpenTurn(Work):
    """Begin to listen: fresh states of encoder and adapter after the dialogue so far."""


class Listen(Work):
    """Whole chunks, read into the open turn at once; the state is decided at the end of the last. played: as of
    `AudioChunk`."""

    samples: np.ndarray
    played: np.ndarray | None = None


class HearAhead(Work):
    """The open turn is as it was heard ahead."""


class DropTurn(Work):
    """Forget the open turn: it was not for the system, or empty."""


class AnswerTurn(Work):
    """Close the open turn, keep it in the history, write and speak the answer; go on with its draft, if any."""


class DraftAnswer(Work):
    """Begin the answer to the open turn on a fork of the dialogue, as if the turn were over."""


class DropDraft(Work):
    """Forget what was begun of an answer: the user has gone on, or will not be answered."""


class AnswerText(Work):
    text: str  # a typed turn, maybe empty, that goes into the history; write and speak the answer


class StopAnswer(Work):
    heard_tokens: int  # stop writing and speaking; the history keeps this many first LLM tokens of the last answer


class ReadSystem(Work):
    text: str  # the new system prompt to read, and the history after it


class KeepTurn(Work):
    """Add a finished exchange in text to the history."""

    user: str
    answer: str
