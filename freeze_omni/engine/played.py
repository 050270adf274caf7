"""What a user's device plays, on the scheduler's clock: the echo reference of a session."""

from collections import deque

import numpy as np

from freeze_omni.data.audio import resample

KEPT_S = 60.0
"""Sound that ended longer ago than this is forgotten; a device that sends audio has heard it long before."""
Piece = tuple[float, np.ndarray]


class PlayedLine:
    """Pieces of sound, each from a time in seconds on, at the rate at which users are heard."""

    def __init__(self, output_hz: int, input_hz: int) -> None:
        self._output_hz, self._input_hz = output_hz, input_hz
        self._pieces: deque[Piece] = deque()
        self._waiting: list[Piece] = []
        self._paused_s: float | None = None

    def play(self, samples: np.ndarray, start_s: float) -> None:
        """(S,) at the output rate; while paused start_s is as if time had stood still."""
        piece = (start_s, resample(samples, self._output_hz, self._input_hz))
        if self._paused_s is not None:
            self._waiting.append(piece)
            return
        self._forget(start_s - KEPT_S)
        self._pieces.append(piece)

    def stop(self, now_s: float) -> None:
        """Nothing sounds from now on."""
        self._pieces, self._waiting = deque(self._cut(now_s)[0]), []
        self._paused_s = None

    def pause(self, now_s: float) -> None:
        """Nothing sounds until `resume`; what is left then goes on."""
        before, after = self._cut(now_s)
        self._pieces, self._waiting, self._paused_s = deque(before), after, now_s

    def resume(self, now_s: float) -> None:
        if self._paused_s is not None:
            late_s, self._paused_s = now_s - self._paused_s, None
            self._pieces.extend((start_s + late_s, wav) for start_s, wav in self._waiting)
            self._waiting = []

    def before(self, end_s: float, samples: int) -> np.ndarray | None:
        """What sounded in the last `samples` up to end_s, (samples,) at the input rate; None for silence. What was
        before is forgotten."""
        start_s = end_s - samples / self._input_hz
        self._forget(start_s)
        found = np.zeros(samples, dtype=np.float32)
        for piece_s, wav in self._pieces:
            at = round((piece_s - start_s) * self._input_hz)
            part = wav[max(-at, 0) : max(samples - at, 0)]
            found[max(at, 0) : max(at, 0) + len(part)] += part
        return found if found.any() else None

    def _cut(self, now_s: float) -> tuple[list[Piece], list[Piece]]:
        """What sounds before now, and what after it."""
        before, after = [], []
        for start_s, wav in self._pieces:
            at = min(max(round((now_s - start_s) * self._input_hz), 0), len(wav))
            before.append((start_s, wav[:at]))
            after.append((start_s + at / self._input_hz, wav[at:]))
        return [piece for piece in before if len(piece[1])], [piece for piece in after if len(piece[1])]

    def _forget(self, start_s: float) -> None:
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) / self._input_hz < start_s:
            self._pieces.popleft()
