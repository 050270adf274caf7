"""A dialogue as a pure function: step(config, event, state) -> (state, actions). No clock, thread, socket or model.

Time is counted in audio chunks. The system listens while it speaks: state 1 stops the speech within the same step and
leaves only what was heard in the history, state 2 lets it go on (paper section 3.4). State 3, wait, stops it, too, and
keeps the user's turn open, however long the silence, until the user has gone on.

A state is decided at the end of what the user says. So that the system does not talk over all of that, it may pause
where a voice is heard, and play on if that was not meant for it.

An answer may be begun before it is decided that the turn is over, as a draft: what comes of it is held back, said at
once with the decision, and thrown away as soon as the LLM reads more of the user.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from freeze_omni.session import events as ev

MOST_DRAFTS = 3
"""Answers that are begun before the decision, in one turn."""


class TurnDetection(StrEnum):
    """Who ends a user's turn. A turn of `TurnConfig.max_turn_chunks` ends in every mode."""

    STATE_HEAD = "state_head"  # the state head: answer, or do not answer
    VAD = "vad"  # the voice activity detector: its gate's opening interrupts an answer, its closing ends the turn
    MANUAL = "manual"  # the user, by Respond or Timeout; the gate is ignored


@dataclass(frozen=True)
class TurnConfig:
    """Rules of turn taking.

    gated: with STATE_HEAD, listen only while the VAD gate is open; VAD always does, MANUAL never.
    interrupt: a user's turn stops the answer that is being spoken. Otherwise it is kept and answered once the answer
    is over and the user is silent. MANUAL always interrupts.
    pre_roll_chunks: audio from before the gate opened that belongs to the turn.
    threshold, no_answer_above: probabilities of states 1 and 2 above them decide (released server: 0.5 each).
    max_turn_chunks: a user who never stops is answered then; a turn in which the system waits is dropped.
    silent_chunks: with STATE_HEAD, a turn without a decision ends this long after the gate closed. It is answered if
    words were heard, else dropped.
    transcribed: words tell a turn from silence. Without a CTC head (imported models) every turn counts as worded.
    samples_per_token: guess for a segment that is not spoken to its end (output samples).
    early: unless MANUAL, the answer is begun where state 1 is likelier than this, or the gate has closed; None: never.
    ahead: with STATE_HEAD, where the user has just fallen silent, a state 1 likelier than this as if the silence went
    on ends the turn at once; None: it ends when that silence was heard.
    pauses: with STATE_HEAD, `gated` and `interrupt`, the answer pauses, once each time that the gate opens, unless what
    is heard is as alike to what is played as `echo_above`, which cannot be told of its first `echo_chunks`
    (docs/duplex.md).
    """

    detection: TurnDetection = TurnDetection.STATE_HEAD
    gated: bool = False
    interrupt: bool = True
    chunk_s: float = 0.16
    pre_roll_chunks: int = 6
    threshold: float = 0.5
    no_answer_above: float = 0.5
    max_turn_chunks: int = 188
    silent_chunks: int = 12
    transcribed: bool = True
    samples_per_token: int = 6600
    early: float | None = None
    ahead: float | None = None
    pauses: bool = False
    echo_above: float = 0.45
    echo_chunks: int = 4

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
    chunks: int = 0
    gate_open: bool = True
    closed_chunks: int = 0
    pre_roll: tuple[ev.AudioChunk, ...] = ()
    listening: bool = False
    turn_chunks: int = 0
    words: bool = False
    waiting: bool = False  # the user has asked for it, and has not gone on
    kept: bool = False  # the open turn is answered once the present answer is over
    drafts: int = 0  # of the open turn so far
    drafting: bool = False  # what comes of an answer is that of a draft
    held: tuple[ev.Action, ...] = ()  # what the draft has to say
    answering: bool = False
    may_pause: bool = False  # for the sound at which the gate has opened last
    paused: bool = False
    sounded_chunks: int = 0  # of the answer since it began to sound, or was resumed
    answers: int = 0  # begun so far
    made: str = ""  # why the making of the answer ended; empty while it goes on
    played: int = 0
    spoken: tuple[Spoken, ...] = ()
    said: tuple[Spoken, ...] = ()  # of the last answer, when it is over
    system: str | None = None  # a system prompt that is read once the present answer is over


Todo = list[ev.Action | ev.Work]
Out = tuple[TurnState, Todo]


def initial_turns(config: TurnConfig) -> TurnState:
    return TurnState(gate_open=not config.behind_gate)


def step(config: TurnConfig, event: ev.Event | ev.Result, state: TurnState) -> Out:
    """The next state, actions for the user's side and work for the model, in order. Raises TypeError: another event."""
    made = isinstance(event, ev.Wrote | ev.Spoke | ev.AnswerMade)
    if not state.answering and (isinstance(event, ev.Played) or made and not state.drafting):
        return state, []  # of an answer that was stopped
    match event:
        case ev.AudioChunk():
            return _chunk(config, event, state)
        case ev.VadOpened():
            return _vad_opened(config, state)
        case ev.VadClosed():
            state = replace(state, gate_open=not config.behind_gate, closed_chunks=0)
            if config.detection is TurnDetection.VAD:
                return _timeout(config, state)
            return _resume(state) if _worth_an_answer(config, state) == ev.NO_ANSWER else (state, [])
        case ev.Heard():
            return _heard(config, event, state)
        case ev.TextInput(text):
            return _answer_text(config, text, state) if text.strip() else (state, [])
        case ev.Interrupt(answer):
            return _interrupt(config, state) if answer in (0, state.answers) else (state, [])
        case ev.Timeout():
            return _timeout(config, state)
        case ev.Respond():
            return _end_turn(config, state, ev.ANSWER) if state.listening else _answer_text(config, "", state)
        case ev.Clear():
            return _drop(replace(state, pre_roll=()))
        case ev.Truncate():
            return _truncate(config, event, state)
        case ev.Remember(user, answer):
            state, dropped = drop_draft(state)
            state, stop = _stop(config, state)
            return replace(state, said=()), [*dropped, *stop, ev.KeepTurn(user, answer)]
        case ev.SystemPrompt(text):
            state, dropped = drop_draft(state)
            return (replace(state, system=text), []) if state.answering else (state, [*dropped, ev.ReadSystem(text)])
        case ev.Wrote(text):
            return _say(state, ev.TextDelta(text))
        case ev.Spoke():
            return _spoke(event, state)
        case ev.AnswerMade(cut):
            return _maybe_ended(config, replace(state, made="length" if cut else "done"))
        case ev.Played(played):
            return _maybe_ended(config, replace(state, played=max(state.played, played)))
    raise TypeError(f"{type(event).__name__} is not an event of a session")


def _chunk(config: TurnConfig, chunk: ev.AudioChunk, state: TurnState) -> Out:
    sounds = state.answering and state.spoken and not state.paused
    state = replace(state, chunks=state.chunks + 1, sounded_chunks=state.sounded_chunks + 1 if sounds else 0)
    if state.kept and state.turn_chunks >= config.max_turn_chunks:
        return state, []
    if not state.gate_open and (state.kept or not state.listening):
        most = config.pre_roll_chunks
        return replace(state, pre_roll=(*state.pre_roll, chunk)[-most:] if most else ()), []
    state, work = _listening(state)
    closed = 0 if state.gate_open else state.closed_chunks + 1
    state = replace(state, turn_chunks=state.turn_chunks + 1, closed_chunks=closed)
    return state, [*work, _listen((chunk,))]


def _listen(chunks: tuple[ev.AudioChunk, ...]) -> ev.Listen:
    if len(chunks) == 1:
        return ev.Listen(chunks[0].samples, chunks[0].played)
    samples = np.concatenate([chunk.samples for chunk in chunks])
    if all(chunk.played is None for chunk in chunks):
        return ev.Listen(samples)
    played = [np.zeros_like(chunk.samples) if chunk.played is None else chunk.played for chunk in chunks]
    return ev.Listen(samples, np.concatenate(played))


def _listening(state: TurnState) -> Out:
    """What was said before the gate opened goes into the open turn, or into a new one."""
    work: Todo = []
    if not state.listening:
        state = replace(state, listening=True, turn_chunks=0, words=False, kept=False, closed_chunks=0, drafts=0)
        state = replace(state, waiting=False)
        work.append(ev.OpenTurn())
    if state.pre_roll:
        work.append(_listen(state.pre_roll))
    return replace(state, pre_roll=(), turn_chunks=state.turn_chunks + len(state.pre_roll)), work


def _vad_opened(config: TurnConfig, state: TurnState) -> Out:
    if config.detection is TurnDetection.MANUAL:
        return state, []
    stopped: Todo = []
    if config.detection is TurnDetection.VAD and config.interrupt:
        state, stopped = _interrupt(config, state)
    state, work = _listening(replace(state, gate_open=True, closed_chunks=0, may_pause=config.pauses))
    return state, stopped + work


def _heard(config: TurnConfig, event: ev.Heard, state: TurnState) -> Out:
    if not state.listening:
        return state, []
    state, out = drop_draft(state) if event.positions else (state, [])
    if event.transcript:
        out.append(ev.TranscriptDelta(event.transcript))
        state = replace(state, words=True, waiting=False)
    by_head = config.detection is TurnDetection.STATE_HEAD
    probabilities = event.probabilities
    decided = decide(probabilities, config.threshold, config.no_answer_above) if by_head else ev.LISTEN_ON
    if decided == ev.LISTEN_ON and by_head and event.ahead is not None and _over_ahead(config, event.ahead):
        state, taken = _take_ahead(event.ahead, state)
        decided, probabilities, out = ev.ANSWER, event.ahead.probabilities, out + taken
    out.append(ev.StateDecision(decided, probabilities, state.chunks * config.chunk_s))
    if state.kept:
        return state, out
    if decided == ev.LISTEN_ON and not config.transcribed:
        state = replace(state, waiting=False)  # without words, the state head alone says that the user has gone on
    if decided == ev.WAIT:
        state, stopped = _wait(config, state)
        out += stopped
    if decided in (ev.LISTEN_ON, ev.WAIT):
        endless = state.turn_chunks >= config.max_turn_chunks
        silent = by_head and not state.waiting and not state.gate_open and state.closed_chunks >= config.silent_chunks
        if not endless and not silent:
            state, paused = _maybe_pause(config, event, state)
            state, begun = _maybe_draft(config, event, state)
            return state, out + paused + begun
        decided = ev.NO_ANSWER if state.waiting else _worth_an_answer(config, state)
    state, more = _turn_over(config, state, decided)
    return state, out + more


def _maybe_pause(config: TurnConfig, event: ev.Heard, state: TurnState) -> Out:
    """Fall silent while somebody speaks, until it is known whether to the system."""
    over = state.answering and state.gate_open and config.interrupt and config.detection is TurnDetection.STATE_HEAD
    told = state.sounded_chunks > config.echo_chunks and event.echo < config.echo_above
    if not over or not state.may_pause or not told:
        return state, []
    return replace(state, may_pause=False, paused=True), [ev.PauseAudio()]


def _resume(state: TurnState) -> Out:
    """It was not meant for the system."""
    return replace(state, paused=False), [ev.ResumeAudio()] if state.paused else []


def _over_ahead(config: TurnConfig, ahead: ev.Ahead) -> bool:
    return config.ahead is not None and decide(ahead.probabilities, config.ahead, config.no_answer_above) == ev.ANSWER


def _take_ahead(ahead: ev.Ahead, state: TurnState) -> Out:
    """The turn as if the silence that has just begun had been heard."""
    state, out = drop_draft(state) if ahead.positions else (state, [])
    out.append(ev.HearAhead())
    if ahead.transcript:
        out.append(ev.TranscriptDelta(ahead.transcript))
    return replace(state, words=state.words or bool(ahead.transcript)), out


def decide(probabilities: tuple[float, ...], threshold: float = 0.5, no_answer_above: float = 0.5) -> int:
    """The state of a chunk: 2 before 1 before 0, as the released server asks; of a head with four states, 3 above one
    half before 0."""
    if probabilities[ev.NO_ANSWER] > no_answer_above:
        return ev.NO_ANSWER
    if probabilities[ev.ANSWER] > threshold:
        return ev.ANSWER
    return ev.WAIT if len(probabilities) > ev.WAIT and probabilities[ev.WAIT] > 0.5 else ev.LISTEN_ON


def _wait(config: TurnConfig, state: TurnState) -> Out:
    """The user asks for time: silence, and what was said stays for when the user goes on."""
    state, out = drop_draft(state)
    state, stop = _stop(config, state) if config.interrupt else (state, [])
    return replace(state, waiting=True), out + stop


def _maybe_draft(config: TurnConfig, event: ev.Heard, state: TurnState) -> Out:
    """Begin the answer if the turn seems to be over. Not while another is spoken, whose end changes the history."""
    if state.waiting or config.early is None or config.detection is TurnDetection.MANUAL or state.drafts >= MOST_DRAFTS:
        return state, []
    if state.drafting or state.answering or _worth_an_answer(config, state) != ev.ANSWER:
        return state, []
    if state.gate_open and event.probabilities[ev.ANSWER] <= config.early:
        return state, []
    return replace(state, drafting=True, drafts=state.drafts + 1), [ev.DraftAnswer()]


def drop_draft(state: TurnState) -> Out:
    """Without what was begun of an answer to the open turn, if anything was."""
    if not state.drafting:
        return state, []
    return replace(state, drafting=False, held=(), spoken=()), [ev.DropDraft()]


def _worth_an_answer(config: TurnConfig, state: TurnState) -> int:
    """The state of a turn that the state head has not ended."""
    return ev.ANSWER if state.words or not config.transcribed else ev.NO_ANSWER


def _turn_over(config: TurnConfig, state: TurnState, decided: int) -> Out:
    """The user has finished: the turn ends, or is kept until the present answer is over."""
    waits = not config.interrupt and config.detection is not TurnDetection.MANUAL
    if decided == ev.ANSWER and state.answering and waits:
        return replace(state, kept=True), []
    return _end_turn(config, state, decided)


def _answer_kept(config: TurnConfig, state: TurnState, out: Todo) -> Out:
    """After `out`, which may have ended an answer: answer the turn that was kept, unless the user still speaks."""
    if state.answering or not state.kept:
        return state, out
    state = replace(state, kept=False)
    if config.behind_gate and state.gate_open:
        return state, out
    state, more = _end_turn(config, state, ev.ANSWER)
    return state, out + more


def _end_turn(config: TurnConfig, state: TurnState, decided: int) -> Out:
    out: Todo = [ev.TranscriptDelta("", final=True)]
    state = replace(state, listening=False, turn_chunks=0, pre_roll=(), kept=False)
    if decided == ev.NO_ANSWER:
        state, dropped = drop_draft(state)
        state, resumed = _resume(replace(state, may_pause=False))
        return state, [*out, *dropped, ev.DropTurn(), *resumed]
    state, stop = _stop(config, state)
    return _begin_answer(state), [*out, *stop, ev.AnswerTurn(), *state.held]


def _answer_text(config: TurnConfig, text: str, state: TurnState) -> Out:
    state, out = _drop_and_stop(config, state)
    return _begin_answer(state), [*out, ev.AnswerText(text)]


def _begin_answer(state: TurnState) -> TurnState:
    """`spoken` is what a draft has said so far, else nothing."""
    state = replace(state, answering=True, may_pause=False, answers=state.answers + 1, made="", played=0, said=())
    return replace(state, drafting=False, held=())


def _stop(config: TurnConfig, state: TurnState) -> Out:
    """End the present answer, if any; what was heard of it stays."""
    if not state.answering:
        return state, []
    heard = heard_tokens(state.spoken, state.played, config.samples_per_token)
    return _over(state, [ev.StopAudio(), ev.StopAnswer(heard), ev.AnswerEnded("interrupted")])


def _over(state: TurnState, out: Todo) -> Out:
    """After `out`, which ends the answer: read the system prompt that waited for it."""
    read: Todo = [] if state.system is None else [ev.ReadSystem(state.system)]
    state = replace(state, answering=False, paused=False, said=state.spoken, spoken=(), played=0, system=None)
    return state, out + read


def heard_tokens(spoken: tuple[Spoken, ...], played: int, samples_per_token: int) -> int:
    """LLM tokens of the answer that `played` output samples have said, each to its end."""
    tokens = 0
    for part in spoken:
        size, known = part.end_token - part.first_token, part.end - part.start
        length = known if part.ends else max(known, size * samples_per_token)
        share = min(max(played - part.start, 0) / max(length, 1), 1.0)
        if share > 0:
            tokens = part.first_token + int(share * size)
    return tokens


def _drop(state: TurnState) -> Out:
    state, dropped = drop_draft(state)
    dropped += [ev.DropTurn()] if state.listening else []
    state, resumed = _resume(replace(state, listening=False, turn_chunks=0, kept=False))
    return state, dropped + resumed


def _drop_and_stop(config: TurnConfig, state: TurnState) -> Out:
    state, dropped = _drop(state)
    state, stop = _stop(config, state)
    return state, dropped + stop


def _interrupt(config: TurnConfig, state: TurnState) -> Out:
    return _answer_kept(config, *_stop(config, state))


def _timeout(config: TurnConfig, state: TurnState) -> Out:
    if not state.listening:
        return state, []
    return _turn_over(config, state, _worth_an_answer(config, state))


def _truncate(config: TurnConfig, event: ev.Truncate, state: TurnState) -> Out:
    if event.answer not in (0, state.answers):
        return state, []
    if state.answering:
        return _interrupt(config, replace(state, played=event.samples))
    if not state.said:
        return state, []
    state, dropped = drop_draft(state)
    return state, [*dropped, ev.StopAnswer(heard_tokens(state.said, event.samples, config.samples_per_token))]


def _say(state: TurnState, *actions: ev.Action) -> Out:
    """What the answer says; of a draft it is held back."""
    return (replace(state, held=(*state.held, *actions)), []) if state.drafting else (state, [*actions])


def _spoke(event: ev.Spoke, state: TurnState) -> Out:
    begun, last = state.spoken, state.spoken[-1] if state.spoken else None
    start = last.end if last else 0
    end = start + len(event.samples)
    if last and last.first_token == event.first_token:
        begun, start = begun[:-1], last.start
    part = Spoken(event.first_token, event.end_token, start, end, event.segment_ends)
    play = [ev.PlayAudio(event.samples)] if len(event.samples) else []
    return _say(replace(state, spoken=(*begun, part)), *play)


def _maybe_ended(config: TurnConfig, state: TurnState) -> Out:
    """The answer is over when all of it is made and played."""
    total = state.spoken[-1].end if state.spoken else 0
    if not state.made or state.played < total:
        return state, []
    return _answer_kept(config, *_over(state, [ev.AnswerEnded(state.made)]))
