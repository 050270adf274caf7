"""A session that hears a sound in (virtual) real time, and what it says along the same time line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from freeze_omni.eval.question import VirtualClock
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.session import SessionConfig, SpeechSession


@dataclass
class TimeLine:
    """What is played: (S,) at hz, as long as the input, with silence in between; the text of all answers.

    actions: all that the session did, with their times in seconds.
    """

    wav: np.ndarray
    hz: int
    text: str = ""
    answer_start_s: float | None = None  # where the present answer begins
    played_to_s: float = 0.0
    starts_s: list[float] = field(default_factory=list)
    actions: list[tuple[float, ev.Action]] = field(default_factory=list)

    def play(self, samples: np.ndarray, now_s: float) -> None:
        """After what is played already, or now; sound after the end of the input is lost."""
        if now_s > self.played_to_s:
            self.played_to_s = now_s
        if self.answer_start_s is None:
            self.answer_start_s = self.played_to_s
        begin = round(self.played_to_s * self.hz)
        part = samples[: max(len(self.wav) - begin, 0)]
        self.wav[begin : begin + len(part)] = part
        self.played_to_s += len(samples) / self.hz

    def stop(self, now_s: float) -> None:
        """Drop what was not played yet."""
        self.wav[round(now_s * self.hz) :] = 0
        self.played_to_s = min(self.played_to_s, now_s)


def converse(model: SpokenModel, sound: np.ndarray, config: SessionConfig | None = None) -> TimeLine:
    """Hear (S,) at the input rate, answer between chunks, stop when the session says so."""

    def piece(at: int, size: int, line: TimeLine) -> np.ndarray:
        part = sound[at : at + size]
        return np.pad(part, (0, size - len(part)))

    return follow(SpeechSession(model, config), model.rates, len(sound), piece)


def follow(
    session: SpeechSession,
    rates: Rates,
    samples: int,
    piece: Callable[[int, int, TimeLine], np.ndarray],
    clock: VirtualClock | None = None,
) -> TimeLine:
    """Hear `samples` at the input rate, chunk by chunk, on a clock that advances by the time of the work.

    piece: (first sample, count, what was said so far) to the samples that are heard: they may depend on what is said.
    """
    clock, size = clock or VirtualClock(), rates.chunk_samples
    line = TimeLine(np.zeros(round(samples / rates.input_hz * rates.output_hz), np.float32), rates.output_hz)
    for at in range(0, samples, size):
        end_s = (at + size) / rates.input_hz
        clock.wait_until(end_s)
        if line.answer_start_s is not None:
            heard_s = min(clock.now_s, line.played_to_s) - line.answer_start_s
            _take(session.handle(ev.Played(max(round(heard_s * line.hz), 0))), line, clock.now_s)
        was = session.answering
        actions = clock.run(session.push, piece(at, size, line))
        _take(actions, line, clock.now_s)
        if session.answering is not None and session.answering is not was:
            line.answer_start_s = None
        while session.answering is not None and clock.now_s < end_s + rates.chunk_s:
            _take(clock.run(session.work), line, clock.now_s)
    return line


def _take(actions: list[ev.Action], line: TimeLine, now_s: float) -> None:
    for action in actions:
        line.actions.append((now_s, action))
        if isinstance(action, ev.PlayAudio):
            if now_s > line.played_to_s:
                line.starts_s.append(now_s)
            line.play(action.samples, now_s)
        elif isinstance(action, ev.StopAudio):
            line.stop(now_s)
        elif isinstance(action, ev.TextDelta):
            line.text += action.text
