"""Ask a session one recorded question, chunk by chunk in (virtual) real time, and take its answer with all times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from freeze_omni.session import events as ev
from freeze_omni.eval.question import VirtualClock
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.data.question_sound import speech_end_s

NEVER = 2.0  # a threshold that no probability passes
Watch = Callable[[ev.Action, float], None]


@dataclass
class Asked:
    """What came of a question; times in seconds since its first sample.

    Attributes:
        question_end_s: where the question's sound ends. decided_s: when state 1 was known; None if it never
            came and the question was answered at the end of the sound all the same.
        decisions: of every chunk that was heard.
        step_s: how long each chunk took.
        marks: `asked` (the deciding chunk was there), `done`, and the first `token`, `segment`, `prefill`,
            `tokens`, `audio` of the answer.
        spent_s: time for each of these in all.
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

    @property
    def first_audio_s(self) -> float | None:
        """From the question's end to the first audio."""
        return self.marks["audio"] - self.question_end_s if "audio" in self.marks else None


def ask(
    model: SpokenModel,
    sound: np.ndarray,
    config: SessionConfig | None = None,
    tail_s: float = 2.5,
    watch: Watch | None = None,
) -> Asked:
    """Ask (S,) float32 at the input rate in a fresh session.

    tail_s: silence behind the question's end in which state 1 is waited for. watch: told every action with
    its time. A question that the state head does not end is answered at its end, if words were heard.
    """
    config, hz = config or SessionConfig(), model.rates.input_hz
    asked = Asked(speech_end_s(sound, hz))
    tail = np.zeros(int(tail_s * hz), dtype=np.float32)
    whole = np.concatenate([sound, tail])[: int((asked.question_end_s + tail_s) * hz)]
    clock, session = VirtualClock(), SpeechSession(model, config)
    asked.marks["asked"] = _listen(session, whole, asked, clock, watch)
    if session.answering is None:
        session = SpeechSession(model, _undecided(config))
        _listen(session, whole, Asked(asked.question_end_s), VirtualClock(), None)
        asked.marks["asked"] = clock.now_s
        clock.run(session.handle, ev.Timeout())
    else:
        asked.decided_s = clock.now_s
    if session.answering is not None:
        _answer(session, asked, clock, watch)
    return asked


def _undecided(config: SessionConfig) -> SessionConfig:
    return replace(config, turns=replace(config.turns, threshold=NEVER, max_turn_chunks=10**6))


def _listen(session: SpeechSession, sound: np.ndarray, asked: Asked, clock: VirtualClock, watch: Watch | None) -> float:
    """Push chunk by chunk, each when it is there, until an answer begins; when the last one was begun."""
    size, begin = session.model.rates.chunk_samples, clock.now_s
    for end in range(size, len(sound) + 1, size):
        clock.wait_until(end / session.model.rates.input_hz)
        begin = clock.now_s
        actions = clock.run(session.push, sound[end - size : end])
        asked.step_s.append(clock.now_s - begin)
        for action in actions:
            if isinstance(action, ev.TranscriptDelta):
                asked.transcript += action.text
            elif isinstance(action, ev.StateDecision):
                asked.decisions.append(action)
            if watch:
                watch(action, clock.now_s)
        if session.answering is not None:
            break
    return begin


def _answer(session: SpeechSession, asked: Asked, clock: VirtualClock, watch: Watch | None) -> None:
    """Make the answer to its end."""
    answering, sounds = session.answering, [asked.audio]
    while session.answering is not None:
        begin = clock.now_s
        actions = clock.run(session.work)
        name = answering.milestones[-1]
        asked.spent_s[name] = asked.spent_s.get(name, 0.0) + clock.now_s - begin
        asked.marks.setdefault(name, clock.now_s)
        for action in actions:
            if isinstance(action, ev.PlayAudio):
                sounds.append(action.samples)
            elif isinstance(action, ev.TextDelta):
                asked.text += action.text
            if watch:
                watch(action, clock.now_s)
    asked.audio = np.concatenate(sounds)
    asked.marks["done"] = clock.now_s
    asked.llm_tokens, asked.speech_tokens = len(answering.writer.ids), answering.speaker.tokens_made
