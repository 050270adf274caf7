"""What reaches a system's microphone while it may be speaking: the script, and what depends on the system itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import read_audio, resample
from freeze_omni.eval.duplex.scene import Scene

Voice = Callable[[float, float], np.ndarray]
"""The system's own sound (S,) at the hearing's rate between two times, in seconds."""


class Hearing:
    """Plays one scene, piece by piece, at `hz`. `heard` is all that was played, `scene` has where it was."""

    def __init__(self, scene: Scene, bed: np.ndarray, event: np.ndarray | None, hz: int) -> None:
        """bed (S,), event (E,): at `hz`; event: what waits for the system, None where nothing does."""
        self.scene, self.hz = scene, hz
        self.heard = np.array(bed, dtype=np.float32)
        self._event, self._event_at = event, None

    @classmethod
    def of(cls, folder: Path, scene: Scene, hz: int) -> Hearing:
        """A scene of the folder of scenes. Raises AudioError."""
        if scene.into_answer_s is None:
            return cls(scene, read_audio(str(folder / scene.id / "input.wav"), hz)[0], None, hz)
        bed, event = (read_audio(str(folder / scene.id / f"{name}.wav"), hz)[0] for name in ("bed", "event"))
        return cls(scene, bed, event, hz)

    def __len__(self) -> int:
        return len(self.heard)

    def piece(self, at: int, size: int, begins_s: Sequence[float], voice: Voice) -> np.ndarray:
        """The next `size` samples, from sample `at`; behind the end silence.

        begins_s: when the system began to speak, up to now. The waiting sound goes by the first of them behind the
        user's turn: who speaks into the turn has not answered it yet.
        """
        if self._event is not None and self._event_at is None:
            self._place(at, size, begins_s)
        end = min(at + size, len(self.heard))
        if self.scene.echo is not None and end > at:
            echo = self.scene.echo
            back = voice(at / self.hz - echo.delay_s, end / self.hz - echo.delay_s)[: end - at]
            self.heard[at : at + len(back)] += back * np.float32(10 ** (echo.level_db / 20))
        np.clip(self.heard[at:end], -1, 1, out=self.heard[at:end])
        return np.pad(self.heard[at:end], (0, size - max(end - at, 0)))

    def _place(self, at: int, size: int, begins_s: Sequence[float]) -> None:
        """Lay the waiting sound into what is still to be heard, once it is known when it begins."""
        event = self.scene.event
        answers_s = [begin_s for begin_s in begins_s if self.scene.turn.end_s <= begin_s <= event.start_s]
        start_s = min(answers_s) + self.scene.into_answer_s if answers_s else event.start_s
        start = max(round(start_s * self.hz), at)
        if start >= at + size:
            return
        part = self._event[: len(self.heard) - start]
        self.heard[start : start + len(part)] += part
        self._event_at = start
        placed = replace(event, start_s=round(start / self.hz, 3), end_s=round((start + len(part)) / self.hz, 3))
        self.scene = replace(self.scene, said=(self.scene.turn, placed))


def resampled(track: np.ndarray, track_hz: int, hz: int) -> Voice:
    """`Voice` of a track (S,) that is written while it is read: what is read must be known already."""
    margin_s = 0.02

    def voice(start_s: float, end_s: float) -> np.ndarray:
        begin_s = max(start_s - margin_s, 0.0)
        near = track[round(begin_s * track_hz) : max(round((end_s + margin_s) * track_hz), 0)]
        part = resample(near, track_hz, hz) if len(near) else np.zeros(0, np.float32)
        wanted, skip = round((end_s - start_s) * hz), round((start_s - begin_s) * hz)
        part = np.pad(part, (max(-skip, 0), 0))[max(skip, 0) :][:wanted]
        return np.pad(part, (0, wanted - len(part)))

    return voice
