"""What goes into a dialogue and what comes out of it.

`Event`: from the user's side. `Result`: from the model, the result of a piece of `Work`. The reducer takes both and
returns `Action`s for the user's side and `Work` for the model. All are plain values: a log of events replays a session.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LISTEN_ON, ANSWER, NO_ANSWER = 0, 1, 2
"""The three states of the head: the user still speaks; has finished, answer; has finished, do not answer."""
STATE_NAMES = ("listening on", "answer", "nothing to answer")


@dataclass(frozen=True)
class AudioChunk:
    """One step of the user's audio: (chunk_samples,) float32 in [-1, 1] at the model's input rate."""

    samples: np.ndarray


@dataclass(frozen=True)
class VadOpened:
    """The voice activity detector hears speech: the gate opens."""


@dataclass(frozen=True)
class VadClosed:
    """The voice activity detector no longer hears speech."""


@dataclass(frozen=True)
class TextInput:
    """The user typed a turn."""

    text: str


@dataclass(frozen=True)
class Interrupt:
    """The user pressed stop."""


@dataclass(frozen=True)
class Played:
    """How much of the present answer the user has heard, in samples of the output rate."""

    samples: int


@dataclass(frozen=True)
class Timeout:
    """Do not wait any longer for the end of the user's turn: answer it if words were heard, else drop it."""


@dataclass(frozen=True)
class Respond:
    """Answer what was said in the open turn now, whatever the state head says."""


@dataclass(frozen=True)
class Clear:
    """Forget the open turn and what was kept from before it."""


@dataclass(frozen=True)
class Truncate:
    """The user heard only this many samples of an answer, which may have ended since.

    answer: its number, from 1, or 0 for the last; nothing happens if it is not the last.
    """

    samples: int
    answer: int = 0


@dataclass(frozen=True)
class Remember:
    """A finished exchange in text from before, to be added to the history."""

    user: str
    answer: str


@dataclass(frozen=True)
class SystemPrompt:
    """A new system prompt; the dialogue's history stays."""

    text: str


Event = (
    AudioChunk
    | VadOpened
    | VadClosed
    | TextInput
    | Interrupt
    | Played
    | Timeout
    | Respond
    | Clear
    | Truncate
    | Remember
    | SystemPrompt
)


@dataclass(frozen=True)
class Heard:
    """Of `Listen`: new words of the CTC head, and the state head's probabilities of (0, 1, 2)."""

    transcript: str
    probabilities: tuple[float, float, float]


@dataclass(frozen=True)
class Wrote:
    """New text of the answer."""

    text: str


@dataclass(frozen=True)
class Spoke:
    """Audio (S,) of a segment, which says LLM tokens first_token to end_token of the answer."""

    samples: np.ndarray
    first_token: int
    end_token: int
    segment_ends: bool


@dataclass(frozen=True)
class AnswerMade:
    """All of the answer is written and spoken; `cut` if a limit ended it."""

    cut: bool


Result = Heard | Wrote | Spoke | AnswerMade


@dataclass(frozen=True)
class StateDecision:
    """The state head's decision on a chunk that ended `time_s` after the session's start."""

    state: int
    probabilities: tuple[float, float, float]
    time_s: float


@dataclass(frozen=True)
class TranscriptDelta:
    """New words of the user's turn; `final` with the turn's last."""

    text: str
    final: bool = False


@dataclass(frozen=True)
class TextDelta:
    """New text of the answer."""

    text: str


@dataclass(frozen=True)
class PlayAudio:
    """Samples (S,) float32 at the model's output rate, to be played after those before."""

    samples: np.ndarray


@dataclass(frozen=True)
class StopAudio:
    """Drop what has not been played."""


@dataclass(frozen=True)
class AnswerEnded:
    """reason: `done`, `length` (a limit cut it), `interrupted`, `nothing` (there was nothing to answer)."""

    reason: str


@dataclass(frozen=True)
class AnswerBegun:
    """The user's turn is in the history and its answer is being made: the session's answer `number`, from 1."""

    number: int


@dataclass(frozen=True)
class AnswerKept:
    """What the history has of the last answer: all of it (`done`, or `length` if a limit cut it), or what was heard
    (`interrupted`)."""

    text: str
    reason: str


Action = StateDecision | TranscriptDelta | TextDelta | PlayAudio | StopAudio | AnswerBegun | AnswerKept | AnswerEnded


@dataclass(frozen=True)
class OpenTurn:
    """Begin to listen: fresh states of encoder and adapter after the dialogue so far."""


@dataclass(frozen=True)
class Listen:
    """Read whole chunks into the open turn at once; the state is decided at the end of the last."""

    samples: np.ndarray


@dataclass(frozen=True)
class DropTurn:
    """Forget the open turn: it was not for the system, or empty."""


@dataclass(frozen=True)
class AnswerTurn:
    """Close the open turn, keep it in the history, write and speak the answer."""


@dataclass(frozen=True)
class AnswerText:
    """Take a typed turn into the history, write and speak the answer."""

    text: str


@dataclass(frozen=True)
class StopAnswer:
    """Stop writing and speaking; the history keeps the last answer's first `heard_tokens` LLM tokens."""

    heard_tokens: int


@dataclass(frozen=True)
class ReadSystem:
    """Read a new system prompt and the history after it."""

    text: str


@dataclass(frozen=True)
class KeepTurn:
    """Add a finished exchange in text to the history."""

    user: str
    answer: str


Work = OpenTurn | Listen | DropTurn | AnswerTurn | AnswerText | StopAnswer | ReadSystem | KeepTurn
