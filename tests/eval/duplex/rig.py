"""A system whose behaviour is known: it speaks where its script says, in a voice of even loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from freeze_omni.data.audio import write_wav
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.eval.duplex.play import Hearing, playing
from freeze_omni.eval.question import TimeLine
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.ops import Job, drive

RATES = Rates()
IDS = ("q1", "q2", "backchannel-1", "side-1", "wait-1")
LOUD = 0.02  # of what is heard: speech is above it


class Scripted:
    """A session that answers for `long_s` once the user was silent for `patience_s`, or never where it is deaf.

    stop: `at_once` where the user speaks into its answer, `late` a second after that, `never`: it does not hear it;
    `pauses`: it waits at once, and goes on after that, or stops if the user has spoken for longer than `long_ask_s`.
    """

    long_ask_s = 1.0

    def __init__(self, patience_s: float = 0.4, long_s: float = 3.0, stop: str = "at_once", deaf: bool = False) -> None:
        self.patience_s, self.long_s, self.stop, self.deaf = patience_s, long_s, stop, deaf
        self.answering: object | None = None
        self.heard: list[np.ndarray] = []
        self._quiet_s = self._ends_s = self._over_s = 0.0
        self._paused_s = 0.0
        self._waiting = False
        self._answers = 0

    @property
    def may_work(self) -> bool:
        return self.answering is not None

    @property
    def _now_s(self) -> float:
        return len(self.heard) * RATES.chunk_s

    def pushing(self, samples: np.ndarray, played: np.ndarray | None = None) -> Job[list[ev.Action]]:
        yield from ()  # it asks for no operation of a model
        self.heard.append(samples)
        loud = float(np.sqrt(np.mean(samples**2))) > LOUD
        out: list[ev.Action] = []
        speaking = self._now_s < self._ends_s
        self._over_s = self._over_s + RATES.chunk_s if loud and speaking else 0.0
        if self.stop == "pauses":
            out += self._pausing(loud, speaking)
        elif self._over_s > {"at_once": 0.0, "late": 1.0, "never": 1e9}[self.stop]:
            self._ends_s = self._now_s
            out += [ev.StopAudio(), ev.AnswerEnded("interrupted")]
        self._quiet_s = 0.0 if loud else self._quiet_s + RATES.chunk_s
        self._waiting |= loud and not (speaking and self.stop == "never")
        if self._waiting and not self.deaf and self._quiet_s >= self.patience_s and self._now_s >= self._ends_s:
            self._waiting, self._answers, self.answering = False, self._answers + 1, object()
            out.append(ev.AnswerBegun(self._answers))
        return out

    def _pausing(self, loud: bool, speaking: bool) -> list[ev.Action]:
        if loud and speaking and not self._paused_s:
            self._paused_s = self._now_s
            return [ev.PauseAudio()]
        if not self._paused_s or loud:
            return []
        asked_s, self._paused_s = self._now_s - self._paused_s, 0.0
        if asked_s > self.long_ask_s:
            self._ends_s = self._now_s
            return [ev.StopAudio(), ev.AnswerEnded("interrupted")]
        self._waiting = False
        self._ends_s += asked_s
        return [ev.ResumeAudio()]

    def working(self) -> Job[list[ev.Action]]:
        yield from ()
        self.answering = None
        self._ends_s = self._now_s + self.long_s
        return [ev.TextDelta("Yes."), ev.PlayAudio(voice(self.long_s, RATES.output_hz))]

    def handling(self, event: ev.Event) -> Job[list[ev.Action]]:
        yield from ()
        return []


def play_offline(session: Scripted, hearing: Hearing, folder: Path) -> TimeLine:
    """On a clock that work does not advance."""
    return drive(None, playing(session, RATES, hearing, folder, 0))


def voice(seconds: float, hz: int) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * hz)) / hz)).astype(np.float32)


def sentences(folder: Path, *ids: str, seconds: float = 1.2) -> Path:
    """A Kaldi directory of tones: one for each id."""
    wavs = {key: folder / "wav" / f"{key}.wav" for key in ids}
    for path in wavs.values():
        write_wav(path, voice(seconds, 16000), 16000)
    write_set(folder, wavs, {key: f"words of {key}" for key in ids}, dict.fromkeys(ids, "spk"))
    return folder


def spoken(seconds: float, *spans_s: tuple[float, float], hz: int = 16000) -> np.ndarray:
    """Sound (seconds) that is loud in the spans."""
    wav = np.zeros(round(seconds * hz), np.float32)
    for start_s, end_s in spans_s:
        wav[round(start_s * hz) : round(end_s * hz)] = 0.3
    return wav
