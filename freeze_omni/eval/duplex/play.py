"""Play a scripted scene in closed loop, on a virtual clock: what the system hears depends on what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.eval.duplex.gated import GatedSession
from freeze_omni.eval.duplex.scene import ScriptedScene, write_output
from freeze_omni.eval.question import TimeLine, VirtualClock, Voice, following, resampled
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.ops import Job


class Hearing:
    """What reaches the system's microphone, piece by piece, at `hz`. heard: all that was played; scene: where."""

    def __init__(self, scene: ScriptedScene, bed: np.ndarray, event: np.ndarray | None, hz: int) -> None:
        """bed (S,), event (E,): at `hz`; event: what waits for the system, if any."""
        self.scene, self.hz = scene, hz
        self.heard = np.array(bed, dtype=np.float32)
        self._waiting = event

    @classmethod
    def of(cls, folder: Path, scene: ScriptedScene, hz: int) -> Hearing:
        """A scene of the folder of scenes. Raises AudioError."""
        if scene.into_answer_s is None:
            return cls(scene, read_audio(str(folder / scene.id / "input.wav"), hz)[0], None, hz)
        bed, event = (read_audio(str(folder / scene.id / f"{name}.wav"), hz)[0] for name in ("bed", "event"))
        return cls(scene, bed, event, hz)

    def __len__(self) -> int:
        return len(self.heard)

    def piece(self, at: int, size: int, begins_s: Sequence[float], voice: Voice) -> np.ndarray:
        """The next `size` samples, from sample `at`; silence after the end.

        begins_s: when the system began to speak, up to now. The waiting sound follows the first of them after the
        user's turn: a system that speaks into the turn has not answered it yet.
        """
        if self._waiting is not None:
            self._place(self._waiting, at, size, begins_s)
        end, echo = min(at + size, len(self.heard)), self.scene.echo
        if echo is not None and end > at:
            back = voice(at / self.hz - echo.delay_s, end / self.hz - echo.delay_s)[: end - at]
            self.heard[at : at + len(back)] += back * np.float32(10 ** (echo.level_db / 20))
        np.clip(self.heard[at:end], -1, 1, out=self.heard[at:end])
        return np.pad(self.heard[at:end], (0, size - max(end - at, 0)))

    def _place(self, sound: np.ndarray, at: int, size: int, begins_s: Sequence[float]) -> None:
        """Add the waiting sound to what remains to be heard, once its beginning is known."""
        event = self.scene.said[-1]
        answers_s = [begin_s for begin_s in begins_s if self.scene.turn.end_s <= begin_s <= event.start_s]
        start_s = min(answers_s) + (self.scene.into_answer_s or 0.0) if answers_s else event.start_s
        start = max(round(start_s * self.hz), at)
        if start >= at + size:
            return
        part = sound[: len(self.heard) - start]
        self.heard[start : start + len(part)] += part
        self._waiting = None
        placed = replace(event, start_s=round(start / self.hz, 3), end_s=round((start + len(part)) / self.hz, 3))
        self.scene = replace(self.scene, said=(self.scene.turn, placed))


def playing(session: GatedSession, rates: Rates, hearing: Hearing, folder: Path, pace: float = 1.0) -> Job[TimeLine]:
    """The whole scene, and its folder of outputs. hearing: at the session's input rate. pace: of the clock."""

    def piece(at: int, size: int, line: TimeLine) -> np.ndarray:
        return hearing.piece(at, size, line.starts_s, resampled(line.wav, line.hz, hearing.hz))

    line = yield from following(session, rates, len(hearing), piece, VirtualClock(pace))
    events = list(as_events(line.actions))
    write_output(folder, hearing.scene, (hearing.heard, hearing.hz), (line.wav, line.hz), events)
    return line


def as_events(actions: Iterable[tuple[float, ev.Action]]) -> Iterator[dict[str, Any]]:
    """Events of output.json from a session's actions."""
    silent, text = False, ""
    for time_s, action in actions:
        at = {"time_s": round(time_s, 3)}
        match action:
            case ev.StateDecision(state=state) if state != ev.LISTEN_ON:
                yield at | {"event": "state", "state": state}
            case ev.AnswerBegun(number=number):
                silent, text = True, ""
                yield at | {"event": "answer", "number": number}
            case ev.TextDelta(text=more):
                text += more
            case ev.PlayAudio() if silent:
                silent = False
                yield at | {"event": "speaks"}
            case ev.StopAudio():
                yield at | {"event": "stops"}
            case ev.PauseAudio():
                yield at | {"event": "pauses"}
            case ev.ResumeAudio():
                yield at | {"event": "resumes"}
            case ev.AnswerEnded(reason=reason):
                yield at | {"event": "ended", "reason": reason, "text": " ".join(text.split())}
