"""The dialogue as a pure function: step(input, state) -> (state, actions). No clock, no thread, no socket, no model.

Time is counted in audio chunks. While the system speaks it listens on: state 1 stops the speech within the step and
leaves only what was heard in the history, state 2 lets it go on (paper section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from freeze_omni.session.events import (
    ANSWER,
    LISTEN_ON,
    NO_ANSWER,
    Action,
    AnswerEnded,
    AnswerMade,
    AnswerText,
    AnswerTurn,
    AudioChunk,
    Clear,
    DropTurn,
    Event,
    Heard,
    Interrupt,
    KeepTurn,
    Listen,
    OpenTurn,
    PlayAudio,
    Played,
    ReadSystem,
    Remember,
    Respond,
    Result,
    Spoke,
    StateDecision,
    StopAnswer,
    StopAudio,
    SystemPrompt,
    TextDelta,
    TextInput,
    Timeout,
    TranscriptDelta,
    Truncate,
    VadClosed,
    VadOpened,
    Work,
    Wrote,
)


@dataclass(frozen=True)
class TurnConfig:
    """Rules of turn taking.

    Attributes:
        chunk_s: length of an audio chunk.
        gate: `open` listens always; `vad` waits for VadOpened and takes `pre_roll_chunks` from before it.
        threshold: a probability above it decides (released server: 0.5).
        max_turn_chunks: a user who never stops is answered then.
        silent_chunks: so long after the gate closed without a decision, the turn ends: it is
            answered if words were heard, else dropped.
        transcribed: words tell a turn from silence; without a CTC head (imported models) every turn counts as
            one with words.
        interrupt: a turn that ends while an answer is spoken stops it; otherwise the turn is kept, and answered when
            the answer is over and the user does not speak.
        samples_per_token: guess for a segment that is not spoken to its end (output samples).
    """

    chunk_s: float = 0.16
    gate: str = "open"
    pre_roll_chunks: int = 6
    threshold: float = 0.5
    max_turn_chunks: int = 188
    silent_chunks: int = 12
    samples_per_token: int = 6600
    transcribed: bool = True
    interrupt: bool = True

    def __post_init__(self) -> None:
        if self.gate not in ("open", "vad"):
            raise ValueError(f"gate is 'open' or 'vad', not '{self.gate}'")


@dataclass(frozen=True)
class Spoken:
    """A segment of the answer on the output's time line; `ends` once all of it is there."""

    first_token: int
    end_token: int
    start: int
    end: int
    ends: bool


@dataclass(frozen=True)
class TurnState:
    """All that the reducer remembers."""

    chunks: int = 0
    gate_open: bool = True
    closed_chunks: int = 0
    pre_roll: tuple[np.ndarray, ...] = ()
    listening: bool = False
    turn_chunks: int = 0
    words: bool = False
    kept: bool = False  # the open turn is to be answered when the present answer is over
    answering: bool = False
    answers: int = 0  # begun so far
    made: str = ""  # why the making of the answer ended; empty while it goes on
    played: int = 0
    spoken: tuple[Spoken, ...] = ()
    said: tuple[Spoken, ...] = ()  # of the last answer, when it is over


Out = tuple[TurnState, list[Action | Work]]


def initial_turns(config: TurnConfig) -> TurnState:
    """Before the first event."""
    return TurnState(gate_open=config.gate == "open")


def step(config: TurnConfig, event: Event | Result, state: TurnState) -> Out:
    """The next state, and what to do: actions for the user's side, work for the model, in order.

    Raises TypeError for what is no event.
    """
    rule = _RULES.get(type(event))
    if rule is None:
        raise TypeError(f"{type(event).__name__} is no event of a session")
    return rule(config, event, state)


def _chunk(config: TurnConfig, event: AudioChunk, state: TurnState) -> Out:
    state = replace(state, chunks=state.chunks + 1)
    if state.kept and state.turn_chunks >= config.max_turn_chunks:
        return state, []
    if not state.gate_open and (state.kept or not state.listening):
        kept = (*state.pre_roll, event.samples)[-config.pre_roll_chunks or len(state.pre_roll) + 1 :]
        return replace(state, pre_roll=kept if config.pre_roll_chunks else ()), []
    work: list[Action | Work] = []
    if not state.listening:
        state, work = _open(state)
    elif state.pre_roll:
        state, work = _hear_pre_roll(state)
    closed = 0 if state.gate_open else state.closed_chunks + 1
    state = replace(state, turn_chunks=state.turn_chunks + 1, closed_chunks=closed)
    return state, [*work, Listen(event.samples)]


def _open(state: TurnState) -> Out:
    """Begin a turn with what was said before the gate opened."""
    work: list[Action | Work] = [OpenTurn()]
    if state.pre_roll:
        work.append(Listen(np.concatenate(state.pre_roll)))
    heard = len(state.pre_roll)
    opened = replace(state, listening=True, pre_roll=(), turn_chunks=heard, words=False, kept=False, closed_chunks=0)
    return opened, work


def _hear_pre_roll(state: TurnState) -> Out:
    """A turn that was kept goes on."""
    work: list[Action | Work] = [Listen(np.concatenate(state.pre_roll))]
    return replace(state, pre_roll=(), turn_chunks=state.turn_chunks + len(state.pre_roll)), work


def _vad_opened(config: TurnConfig, event: VadOpened, state: TurnState) -> Out:
    state = replace(state, gate_open=True, closed_chunks=0)
    if not state.listening:
        return _open(state)
    return _hear_pre_roll(state) if state.pre_roll else (state, [])


def _vad_closed(config: TurnConfig, event: VadClosed, state: TurnState) -> Out:
    return replace(state, gate_open=config.gate == "open", closed_chunks=0), []


def _heard(config: TurnConfig, event: Heard, state: TurnState) -> Out:
    if not state.listening:
        return state, []
    out: list[Action | Work] = []
    if event.transcript:
        out.append(TranscriptDelta(event.transcript))
        state = replace(state, words=True)
    decided = decide(event.probabilities, config.threshold)
    out.append(StateDecision(decided, event.probabilities, state.chunks * config.chunk_s))
    if state.kept:
        return state, out
    if decided == LISTEN_ON:
        endless = state.turn_chunks >= config.max_turn_chunks
        silent = not state.gate_open and state.closed_chunks >= config.silent_chunks
        if not endless and not silent:
            return state, out
        decided = ANSWER if state.words or not config.transcribed else NO_ANSWER
    state, more = _turn_over(config, state, decided)
    return state, out + more


def decide(probabilities: tuple[float, float, float], threshold: float = 0.5) -> int:
    """The state of a chunk: 2 before 1 before 0, as the released server asks."""
    if probabilities[NO_ANSWER] > threshold:
        return NO_ANSWER
    return ANSWER if probabilities[ANSWER] > threshold else LISTEN_ON


def _turn_over(config: TurnConfig, state: TurnState, decided: int) -> Out:
    """The user has finished: the turn ends, or is kept until the present answer is over."""
    if decided == ANSWER and state.answering and not config.interrupt:
        return replace(state, kept=True), []
    return _end_turn(config, state, decided)


def _answer_kept(config: TurnConfig, state: TurnState, out: list[Action | Work]) -> Out:
    """Behind `out`, which may have ended an answer: answer the turn that was kept, unless the user speaks on."""
    if state.answering or not state.kept:
        return state, out
    state = replace(state, kept=False)
    if config.gate == "vad" and state.gate_open:
        return state, out
    state, more = _end_turn(config, state, ANSWER)
    return state, out + more


def _end_turn(config: TurnConfig, state: TurnState, decided: int) -> Out:
    out: list[Action | Work] = [TranscriptDelta("", final=True)]
    state = replace(state, listening=False, turn_chunks=0, pre_roll=(), kept=False)
    if decided == NO_ANSWER:
        return state, [*out, DropTurn()]
    state, stop = _stop(config, state)
    return _begin_answer(state), [*out, *stop, AnswerTurn()]


def _begin_answer(state: TurnState) -> TurnState:
    return replace(state, answering=True, answers=state.answers + 1, made="", played=0, spoken=(), said=())


def _stop(config: TurnConfig, state: TurnState) -> Out:
    """End the present answer, if there is one, with what was heard of it."""
    if not state.answering:
        return state, []
    heard = heard_tokens(state.spoken, state.played, config.samples_per_token)
    out = [StopAudio(), StopAnswer(heard), AnswerEnded("interrupted")]
    return _over(state), out


def _over(state: TurnState) -> TurnState:
    return replace(state, answering=False, said=state.spoken, spoken=(), played=0)


def heard_tokens(spoken: tuple[Spoken, ...], played: int, samples_per_token: int) -> int:
    """LLM tokens of the answer that `played` output samples have said, each to its end."""
    tokens = 0
    for part in spoken:
        size = part.end_token - part.first_token
        known = part.end - part.start
        length = known if part.ends else max(known, size * samples_per_token)
        share = min(max(played - part.start, 0) / max(length, 1), 1.0)
        if share > 0:
            tokens = part.first_token + int(share * size)
    return tokens


def _text(config: TurnConfig, event: TextInput, state: TurnState) -> Out:
    out: list[Action | Work] = []
    if not event.text.strip():
        return state, out
    if state.listening:
        out.append(DropTurn())
        state = replace(state, listening=False, turn_chunks=0, kept=False)
    state, stop = _stop(config, state)
    return _begin_answer(state), [*out, *stop, AnswerText(event.text)]


def _interrupt(config: TurnConfig, event: Interrupt, state: TurnState) -> Out:
    return _answer_kept(config, *_stop(config, state))


def _timeout(config: TurnConfig, event: Timeout, state: TurnState) -> Out:
    if not state.listening:
        return state, []
    return _turn_over(config, state, ANSWER if state.words or not config.transcribed else NO_ANSWER)


def _respond(config: TurnConfig, event: Respond, state: TurnState) -> Out:
    if not state.listening:
        return state, [AnswerEnded("nothing")]
    return _end_turn(config, state, ANSWER)


def _clear(config: TurnConfig, event: Clear, state: TurnState) -> Out:
    out: list[Action | Work] = [DropTurn()] if state.listening else []
    return replace(state, listening=False, turn_chunks=0, pre_roll=(), kept=False), out


def _truncate(config: TurnConfig, event: Truncate, state: TurnState) -> Out:
    if event.answer not in (0, state.answers):
        return state, []
    if state.answering:
        return _answer_kept(config, *_stop(config, replace(state, played=event.samples)))
    if not state.said:
        return state, []
    return state, [StopAnswer(heard_tokens(state.said, event.samples, config.samples_per_token))]


def _remember(config: TurnConfig, event: Remember, state: TurnState) -> Out:
    state, stop = _stop(config, state)
    return replace(state, said=()), [*stop, KeepTurn(event.user, event.answer)]


def _system(config: TurnConfig, event: SystemPrompt, state: TurnState) -> Out:
    out: list[Action | Work] = [DropTurn()] if state.listening else []
    state, stop = _stop(config, replace(state, listening=False, turn_chunks=0, kept=False))
    return state, [*out, *stop, ReadSystem(event.text)]


def _wrote(config: TurnConfig, event: Wrote, state: TurnState) -> Out:
    return state, [TextDelta(event.text)] if state.answering else []


def _spoke(config: TurnConfig, event: Spoke, state: TurnState) -> Out:
    if not state.answering:
        return state, []
    begun, last = state.spoken, state.spoken[-1] if state.spoken else None
    start = last.end if last else 0
    end = start + len(event.samples)
    if last and last.first_token == event.first_token:
        begun, start = begun[:-1], last.start
    part = Spoken(event.first_token, event.end_token, start, end, event.segment_ends)
    play = [PlayAudio(event.samples)] if len(event.samples) else []
    return replace(state, spoken=(*begun, part)), play


def _made(config: TurnConfig, event: AnswerMade, state: TurnState) -> Out:
    if not state.answering:
        return state, []
    return _maybe_ended(config, replace(state, made="length" if event.cut else "done"))


def _played(config: TurnConfig, event: Played, state: TurnState) -> Out:
    if not state.answering:
        return state, []
    return _maybe_ended(config, replace(state, played=max(state.played, event.samples)))


def _maybe_ended(config: TurnConfig, state: TurnState) -> Out:
    """The answer is over when all of it is made and played."""
    total = state.spoken[-1].end if state.spoken else 0
    if not state.made or state.played < total:
        return state, []
    return _answer_kept(config, _over(state), [AnswerEnded(state.made)])


_RULES: dict[type, Callable[[TurnConfig, object, TurnState], Out]] = {
    AudioChunk: _chunk,
    VadOpened: _vad_opened,
    VadClosed: _vad_closed,
    Heard: _heard,
    TextInput: _text,
    Interrupt: _interrupt,
    Timeout: _timeout,
    Respond: _respond,
    Clear: _clear,
    Truncate: _truncate,
    Remember: _remember,
    SystemPrompt: _system,
    Wrote: _wrote,
    Spoke: _spoke,
    AnswerMade: _made,
    Played: _played,
}
