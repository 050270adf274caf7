"""What a user's device plays, on the scheduler's clock: the echo reference of a session."""

from collections import deque

import numpy as np

from freeze_omni.data.audio import resample

KEPT_S = 60.0
"""Sound that ended longer ago than this is forgotten; a device that sends audio has heard it long before."""


class PlayedLine:
    """Pieces of sound, each from a time in seconds on, at the rate at which users are heard."""

    def __init__(self, output_hz: int, input_hz: int) -> None:
        self._output_hz, self._input_hz = output_hz, input_hz
        self._pieces: deque[tuple[float, np.ndarray]] = deque()

    def play(self, samples: np.ndarray, start_s: float) -> None:
        """(S,) at the output rate."""
        self._forget(start_s - KEPT_S)
        self._pieces.append((start_s, resample(samples, self._output_hz, self._input_hz)))

    def stop(self, now_s: float) -> None:
        """Nothing sounds from now on."""
        left = [(start_s, wav[: max(round((now_s - start_s) * self._input_hz), 0)]) for start_s, wav in self._pieces]
        self._pieces = deque((start_s, wav) for start_s, wav in left if len(wav))

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

    def _forget(self, start_s: float) -> None:
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) / self._input_hz < start_s:
            self._pieces.popleft()
