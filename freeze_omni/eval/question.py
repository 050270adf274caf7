"""Sessions on a virtual clock: one recorded question asked, or a sound heard in time; what was said, with all times."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from freeze_omni.data.audio import resample, speech_end_s
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.answer import Answer
from freeze_omni.session.draft import Draft
from freeze_omni.session.ops import Job, drive
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni

NO_TRANSCRIPT = "(no transcript)"  # of a model without a CTC head, or if no words were heard
CLOSING = "closing"  # work at a draft: reading what closes the turn
Watch = Callable[[ev.Action, float], None] | None
Voice = Callable[[float, float], np.ndarray]  # a sound (S,) between two times in s


class VirtualClock:
    """Now, in seconds of a dialogue: the times of real time on this machine, without the network.

    It jumps to when a chunk arrives, and work advances it by the time that the work really took, times `pace`; with 0
    work takes no time, which makes a run reproducible anywhere.
    """

    def __init__(self, pace: float = 1.0) -> None:
        self.now_s, self.pace = 0.0, pace

    def wait_until(self, time_s: float) -> None:
        self.now_s = max(self.now_s, time_s)

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of work(*arguments), with its duration on the clock."""
        begin = time.perf_counter()
        result = work(*arguments)
        self.now_s += self.pace * (time.perf_counter() - begin)
        return result

    def running[R](self, job: Job[R]) -> Job[R]:
        """`run` of a coroutine, with the time that its operations took."""
        begin = time.perf_counter()
        result = yield from job
        self.now_s += self.pace * (time.perf_counter() - begin)
        return result


@dataclass
class Asked:
    """What came of a question; times in seconds since its first sample.

    decided_s: when state 1 was known; None if it never came and the question was answered at the end of the sound.
    decisions, step_s: of every chunk, and how long it took. marks: `asked` (the deciding chunk was there), `done`, and
    the first `token`, `segment`, `prefill`, `tokens`, `audio` of the answer, those of a draft when it was decided to
    answer. spent_s: time for each of these in all, and for drafts that were `dropped`. drafts: answers begun early.
    """

    question_end_s: float
    decided_s: float | None = None
    transcript: str = ""
    decisions: list[ev.StateDecision] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    text: str = ""
    audio: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    marks: dict[str, float] = field(default_factory=dict)
    spent_s: dict[str, float] = field(default_factory=dict)
    llm_tokens: int = 0
    speech_tokens: int = 0
    drafts: int = 0

    def take(self, action: ev.Action) -> None:
        """What the session says, and what it heard."""
        match action:
            case ev.TranscriptDelta(text):
                self.transcript += text
            case ev.StateDecision():
                self.decisions.append(action)
            case ev.TextDelta(text):
                self.text += text
            case ev.PlayAudio(samples):
                self.audio = np.concatenate([self.audio, samples])


def ask(
    model: FreezeOmni, sound: np.ndarray, config: SessionConfig | None = None, tail_s: float = 2.5, watch: Watch = None
) -> Asked:
    """Ask (S,) float32 at the input rate in a fresh session; without state 1, words heard are answered at its end.

    tail_s: silence after the question's end in which state 1 may come. watch: called with every action and its time.
    """
    config = config or SessionConfig()
    asked, whole = _question(model, sound, tail_s)
    clock, session = VirtualClock(), SpeechSession(model, config)
    asked.marks["asked"] = _listen(session, whole, asked, clock, watch)
    asked.drafts = session.drafts
    if session.answering is None:
        chunks = len(whole) // model.rates.chunk_samples + 1
        config = replace(config, turn_detection=TurnDetection.MANUAL, max_turn_chunks=chunks)
        session = SpeechSession(model, config)
        _listen(session, whole, Asked(asked.question_end_s), VirtualClock(), None)
        asked.marks["asked"] = clock.now_s
        clock.run(session.handle, ev.Timeout())
    else:
        asked.decided_s = clock.now_s
    if session.answering is not None:
        _answer(session, asked, clock, watch)
    return asked


def ask_rounds(
    model: FreezeOmni, sounds: Sequence[np.ndarray], config: SessionConfig | None = None, tail_s: float = 1.0
) -> list[Asked]:
    """The rounds of a dialogue in one session: each sound (S,) is a whole turn, each answer is heard to its end."""
    questions = [_question(model, sound, tail_s) for sound in sounds]
    longest = max(len(whole) for _, whole in questions) // model.rates.chunk_samples + 1
    config = replace(config or SessionConfig(), turn_detection=TurnDetection.MANUAL, max_turn_chunks=longest)
    session, clock = SpeechSession(model, config), VirtualClock()
    for asked, whole in questions:
        _listen(session, whole, asked, clock, None)
        clock.run(session.handle, ev.Respond())
        if session.answering is not None:
            _answer(session, asked, clock, None)
            session.handle(ev.Played(len(asked.audio)))
    return [asked for asked, _ in questions]


def _question(model: FreezeOmni, sound: np.ndarray, tail_s: float) -> tuple[Asked, np.ndarray]:
    """What will come of a question, and its sound (S,) with silence up to `tail_s` after its end."""
    hz = model.rates.input_hz
    end_s = speech_end_s(sound, hz)
    return Asked(end_s), np.pad(sound, (0, int(tail_s * hz)))[: int((end_s + tail_s) * hz)]


def _listen(session: SpeechSession, sound: np.ndarray, asked: Asked, clock: VirtualClock, watch: Watch) -> float:
    """Push chunk by chunk, each when it is there, until an answer begins; when the last one was begun. In between
    answers are begun early."""
    size, begin, early = session.model.rates.chunk_samples, clock.now_s, _Early()
    for end in range(size, len(sound) + 1, size):
        early.work(session, clock, end / session.model.rates.input_hz)
        clock.wait_until(end / session.model.rates.input_hz)
        begin = clock.now_s
        actions = clock.run(session.push, sound[end - size : end])
        asked.step_s.append(clock.now_s - begin)
        for action in actions:
            asked.take(action)
            if watch:
                watch(action, clock.now_s)
        if session.answering is not None:
            break
    early.account(session, asked, clock.now_s)
    return begin


class _Early:
    """Work at drafts of an answer, and the time that each kind of it took."""

    def __init__(self) -> None:
        self._spent: list[tuple[Answer | Draft | None, str, float]] = []

    def work(self, session: SpeechSession, clock: VirtualClock, until_s: float) -> None:
        """Piece by piece, as long as there is time to begin one."""
        while session.may_work and clock.now_s < until_s:
            begin = clock.now_s
            clock.run(session.work)
            made = session.under_way
            name = made.milestones[-1] if isinstance(made, Answer) and made.milestones else CLOSING
            self._spent.append((made, name, clock.now_s - begin))

    def account(self, session: SpeechSession, asked: Asked, now_s: float) -> None:
        """What went into the answer that was decided on at `now_s`, and what was in vain."""
        for made, name, spent_s in self._spent:
            used = made is session.answering and made is not None
            name = name if used else "dropped"
            asked.spent_s[name] = asked.spent_s.get(name, 0.0) + spent_s
            if used and name != CLOSING:
                asked.marks.setdefault(name, now_s)


def _answer(session: SpeechSession, asked: Asked, clock: VirtualClock, watch: Watch) -> None:
    answering = session.answering
    while session.answering is not None:
        begin = clock.now_s
        actions = clock.run(session.work)
        name = answering.milestones[-1]
        asked.spent_s[name] = asked.spent_s.get(name, 0.0) + clock.now_s - begin
        asked.marks.setdefault(name, clock.now_s)
        for action in actions:
            asked.take(action)
            if watch:
                watch(action, clock.now_s)
    asked.marks["done"] = clock.now_s
    asked.llm_tokens, asked.speech_tokens = len(answering.writer.ids), answering.tokens_made


def event_line(action: ev.Action) -> str:
    """One line for an action; empty if there is nothing to show."""
    match action:
        case ev.TranscriptDelta(text) if text.strip():
            return f"heard    {text.strip()}"
        case ev.StateDecision(state, probabilities, _):
            return f"state    {state} ({ev.STATE_NAMES[state]}, p = {max(probabilities):.2f})"
        case ev.TextDelta(text):
            return f"writes   {text}"
        case ev.PlayAudio(samples) if len(samples):
            return f"speaks   {len(samples)} samples"
    return ""


def summary(asked: Asked, output_hz: int) -> dict[str, Any]:
    """All of it as one JSON object; `states` holds every chunk at which the state changed."""
    changes: list[dict[str, Any]] = []
    for one in asked.decisions:
        if not changes or one.state != changes[-1]["state"]:
            said = [round(value, 3) for value in one.probabilities]
            changes.append({"time_s": round(one.time_s, 3), "state": one.state, "probabilities": said})
    return {
        "transcript": " ".join(asked.transcript.split()),
        "states": changes,
        "decided_s": asked.decided_s,
        "question_end_s": asked.question_end_s,
        "answer": " ".join(asked.text.split()),
        "answer_s": len(asked.audio) / output_hz,
        "first_audio_s": asked.marks["audio"] - asked.question_end_s if "audio" in asked.marks else None,
    }


def report(found: dict[str, Any], timed: bool) -> list[str]:
    """A summary in lines; timed: with the time to the first audio."""
    lines = [f"user:     {found['transcript'] or NO_TRANSCRIPT}"]
    for change in found["states"]:
        state = change["state"]
        lines.append(f"state:    {state} from {change['time_s']:.2f} s ({ev.STATE_NAMES[state]})")
    if found["decided_s"] is None:
        lines.append("state:    never 1 (answer); answered at the end of the sound")
    lines.append(f"answer:   {found['answer']}")
    if timed and found["first_audio_s"] is not None:
        lines.append(f"first audio {found['first_audio_s']:.2f} s after the end of the question")
    if found.get("output"):
        lines.append(f"wrote     {found['output']} ({found['answer_s']:.2f} s)")
    return lines


@dataclass
class TimeLine:
    """What is played: (S,) at hz, as long as the input; the text of all answers; all actions, and when, in seconds.

    From `pause` to `resume` the line's own time stands still; what is to be played then waits.
    """

    wav: np.ndarray
    hz: int
    text: str = ""
    answer_start_s: float | None = None  # where the present answer begins
    played_to_s: float = 0.0
    starts_s: list[float] = field(default_factory=list)
    actions: list[tuple[float, ev.Action]] = field(default_factory=list)
    paused_s: float | None = None
    waiting: list[np.ndarray] = field(default_factory=list)

    def play(self, samples: np.ndarray, now_s: float) -> None:
        """After what is played already, or now; sound after the end of the input is lost."""
        if self.paused_s is not None:
            self.waiting.append(samples)
            return
        if now_s > self.played_to_s:
            self.starts_s.append(now_s)
        self._play(samples, now_s)

    def _play(self, samples: np.ndarray, now_s: float) -> None:
        self.played_to_s = max(self.played_to_s, now_s)
        if self.answer_start_s is None:
            self.answer_start_s = self.played_to_s
        begin = round(self.played_to_s * self.hz)
        part = samples[: max(len(self.wav) - begin, 0)]
        self.wav[begin : begin + len(part)] = part
        self.played_to_s += len(samples) / self.hz

    def heard_s(self, now_s: float) -> float | None:
        """Seconds of the present answer that were played; None before it begins."""
        if self.answer_start_s is None:
            return None
        now_s = now_s if self.paused_s is None else self.paused_s
        return max(min(now_s, self.played_to_s) - self.answer_start_s, 0.0)

    def pause(self, now_s: float) -> None:
        """Fall silent; what was not played yet waits."""
        begin, end = round(now_s * self.hz), round(self.played_to_s * self.hz)
        left = max(end - begin, 0)
        rest = self.wav[begin:end].copy()
        self.waiting, self.paused_s = [np.pad(rest, (0, left - len(rest)))], now_s
        self.wav[begin:] = 0
        self.played_to_s = min(self.played_to_s, now_s)

    def resume(self, now_s: float) -> None:
        """Play on from where it was paused."""
        late_s, waiting = now_s - (now_s if self.paused_s is None else self.paused_s), self.waiting
        self.paused_s, self.waiting = None, []
        self.played_to_s += late_s
        if self.answer_start_s is not None:
            self.answer_start_s += late_s
        for samples in waiting:
            self._play(samples, now_s)

    def between(self, start_s: float, end_s: float, hz: int) -> np.ndarray | None:
        """What is played from start_s to end_s (S,) at another rate; None for silence."""
        if not self.wav[round(start_s * self.hz) : round(end_s * self.hz)].any():
            return None
        return resampled(self.wav, self.hz, hz)(start_s, end_s)

    def stop(self, now_s: float) -> None:
        """Drop what was not played yet."""
        self.paused_s, self.waiting = None, []
        self.wav[round(now_s * self.hz) :] = 0
        self.played_to_s = min(self.played_to_s, now_s)


def resampled(track: np.ndarray, track_hz: int, hz: int) -> Voice:
    """`Voice` of a track (S,) that is written while it is read: what is read must be written already."""
    margin_s = 0.02

    def voice(start_s: float, end_s: float) -> np.ndarray:
        begin_s = max(start_s - margin_s, 0.0)
        near = track[round(begin_s * track_hz) : max(round((end_s + margin_s) * track_hz), 0)]
        part = resample(near, track_hz, hz) if len(near) else np.zeros(0, np.float32)
        wanted, skip = round((end_s - start_s) * hz), round((start_s - begin_s) * hz)
        part = np.pad(part, (max(-skip, 0), 0))[max(skip, 0) :][:wanted]
        return np.pad(part, (0, wanted - len(part)))

    return voice


def converse(model: FreezeOmni, sound: np.ndarray, config: SessionConfig | None = None) -> TimeLine:
    """Hear (S,) at the input rate, answer between chunks, stop when the session says so."""

    def piece(at: int, size: int, line: TimeLine) -> np.ndarray:
        part = sound[at : at + size]
        return np.pad(part, (0, size - len(part)))

    return drive(model, following(SpeechSession(model, config), model.rates, len(sound), piece, VirtualClock()))


def following(
    session: SpeechSession,
    rates: Rates,
    samples: int,
    piece: Callable[[int, int, TimeLine], np.ndarray],
    clock: VirtualClock,
) -> Job[TimeLine]:
    """Hear `samples` by chunks on a clock that work advances; piece: (first sample, count, said so far) to samples."""
    size = rates.chunk_samples
    line = TimeLine(np.zeros(round(samples / rates.input_hz * rates.output_hz), np.float32), rates.output_hz)
    for at in range(0, samples, size):
        end_s = (at + size) / rates.input_hz
        clock.wait_until(end_s)
        if (heard_s := line.heard_s(clock.now_s)) is not None:
            played = ev.Played(round(heard_s * line.hz))
            _take((yield from session.handling(played)), line, clock.now_s)
        was = session.answering
        heard, played = piece(at, size, line), line.between(at / rates.input_hz, end_s, rates.input_hz)
        _take((yield from clock.running(session.pushing(heard, played))), line, clock.now_s)
        if session.answering is not None and session.answering is not was:
            line.answer_start_s = None
        while session.may_work and clock.now_s < end_s + rates.chunk_s:
            _take((yield from clock.running(session.working())), line, clock.now_s)
    return line


def _take(actions: list[ev.Action], line: TimeLine, now_s: float) -> None:
    for action in actions:
        line.actions.append((now_s, action))
        match action:
            case ev.PlayAudio(samples):
                line.play(samples, now_s)
            case ev.StopAudio():
                line.stop(now_s)
            case ev.PauseAudio():
                line.pause(now_s)
            case ev.ResumeAudio():
                line.resume(now_s)
            case ev.TextDelta(text):
                line.text += text
