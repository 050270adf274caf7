"""A dialogue as a pure function: step(config, event, state) -> (state, actions). No clock, thread, socket or model.

Time is counted in audio chunks. The system listens while it speaks: state 1 stops the speech within the same step and
leaves only what was heard in the history, state 2 lets it go on (paper section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

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


class TurnDetection(StrEnum):
    """Who ends a user's turn. A turn of `TurnConfig.max_turn_chunks` ends in every mode."""

    STATE_HEAD = "state_head"
    """The state head: answer, or do not answer."""
    VAD = "vad"
    """The voice activity detector: its gate's opening interrupts an answer, its closing ends the turn."""
    MANUAL = "manual"
    """The user, by Respond or Timeout; the gate is ignored."""


@dataclass(frozen=True)
class TurnConfig:
    """Rules of turn taking.

    Attributes:
        detection: who ends a turn.
        gated: with STATE_HEAD, listen only while the VAD gate is open; VAD always does, MANUAL never.
        interrupt: a user's turn stops the answer that is being spoken. Otherwise it is kept and answered once the
            answer is over and the user is silent. MANUAL always interrupts.
        chunk_s: length of an audio chunk.
        pre_roll_chunks: audio from before the gate opened that belongs to the turn.
        threshold: a probability above it decides (released server: 0.5).
        max_turn_chunks: a user who never stops is answered then.
        silent_chunks: with STATE_HEAD, a turn without a decision ends this long after the gate closed. It is answered
            if words were heard, else dropped.
        transcribed: words tell a turn from silence. Without a CTC head (imported models) every turn counts as one with
            words.
        samples_per_token: guess for a segment that is not spoken to its end (output samples).
    """

    detection: TurnDetection = TurnDetection.STATE_HEAD
    gated: bool = False
    interrupt: bool = True
    chunk_s: float = 0.16
    pre_roll_chunks: int = 6
    threshold: float = 0.5
    max_turn_chunks: int = 188
    silent_chunks: int = 12
    transcribed: bool = True
    samples_per_token: int = 6600

    @property
    def behind_gate(self) -> bool:
        """Whether only what comes while the gate is open is heard."""
        return self.detection is TurnDetection.VAD or self.gated and self.detection is TurnDetection.STATE_HEAD


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
    """What the reducer remembers of the turns."""

    chunks: int = 0
    gate_open: bool = True
    closed_chunks: int = 0
    pre_roll: tuple[np.ndarray, ...] = ()
    listening: bool = False
    turn_chunks: int = 0
    words: bool = False
    kept: bool = False  # the open turn is answered once the present answer is over
    answering: bool = False
    answers: int = 0  # begun so far
    made: str = ""  # why the making of the answer ended; empty while it goes on
    played: int = 0
    spoken: tuple[Spoken, ...] = ()
    said: tuple[Spoken, ...] = ()  # of the last answer, when it is over


Out = tuple[TurnState, list[Action | Work]]


def initial_turns(config: TurnConfig) -> TurnState:
    """Before the first event."""
    return TurnState(gate_open=not config.behind_gate)


def step(config: TurnConfig, event: Event | Result, state: TurnState) -> Out:
    """The next state, and what to do: actions for the user's side, work for the model, in order.

    Raises TypeError for anything but an event or a result.
    """
    rule = _RULES.get(type(event))
    if rule is None:
        raise TypeError(f"{type(event).__name__} is not an event of a session")
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
    if config.detection is TurnDetection.MANUAL:
        return state, []
    stopped: list[Action | Work] = []
    if config.detection is TurnDetection.VAD and config.interrupt:
        state, stopped = _interrupt(config, Interrupt(), state)
    state = replace(state, gate_open=True, closed_chunks=0)
    work: list[Action | Work] = []
    if not state.listening:
        state, work = _open(state)
    elif state.pre_roll:
        state, work = _hear_pre_roll(state)
    return state, stopped + work


def _vad_closed(config: TurnConfig, event: VadClosed, state: TurnState) -> Out:
    state = replace(state, gate_open=not config.behind_gate, closed_chunks=0)
    return _timeout(config, Timeout(), state) if config.detection is TurnDetection.VAD else (state, [])


def _heard(config: TurnConfig, event: Heard, state: TurnState) -> Out:
    if not state.listening:
        return state, []
    out: list[Action | Work] = []
    if event.transcript:
        out.append(TranscriptDelta(event.transcript))
        state = replace(state, words=True)
    by_head = config.detection is TurnDetection.STATE_HEAD
    decided = decide(event.probabilities, config.threshold) if by_head else LISTEN_ON
    out.append(StateDecision(decided, event.probabilities, state.chunks * config.chunk_s))
    if state.kept:
        return state, out
    if decided == LISTEN_ON:
        endless = state.turn_chunks >= config.max_turn_chunks
        silent = by_head and not state.gate_open and state.closed_chunks >= config.silent_chunks
        if not endless and not silent:
            return state, out
        decided = _worth_an_answer(config, state)
    state, more = _turn_over(config, state, decided)
    return state, out + more


def decide(probabilities: tuple[float, float, float], threshold: float = 0.5) -> int:
    """The state of a chunk: 2 before 1 before 0, as the released server asks."""
    if probabilities[NO_ANSWER] > threshold:
        return NO_ANSWER
    return ANSWER if probabilities[ANSWER] > threshold else LISTEN_ON


def _worth_an_answer(config: TurnConfig, state: TurnState) -> int:
    """The state of a turn that the state head has not ended."""
    return ANSWER if state.words or not config.transcribed else NO_ANSWER


def _turn_over(config: TurnConfig, state: TurnState, decided: int) -> Out:
    """The user has finished: the turn ends, or is kept until the present answer is over."""
    waits = not config.interrupt and config.detection is not TurnDetection.MANUAL
    if decided == ANSWER and state.answering and waits:
        return replace(state, kept=True), []
    return _end_turn(config, state, decided)


def _answer_kept(config: TurnConfig, state: TurnState, out: list[Action | Work]) -> Out:
    """After `out`, which may have ended an answer: answer the turn that was kept, unless the user still speaks."""
    if state.answering or not state.kept:
        return state, out
    state = replace(state, kept=False)
    if config.behind_gate and state.gate_open:
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
    """End the present answer, if any; what was heard of it stays."""
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
    return _turn_over(config, state, _worth_an_answer(config, state))


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
