"""Measurements of a worker: sums, and percentiles of the last minute."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 60.0
WINDOW_VALUES = 4096
QUANTILES = (0.5, 0.9, 0.99)
# what is measured: the name in `/metrics`, and what it is
DURATIONS = {
    "listen_s": ("listen_step_seconds", "From the arrival of 160 ms of audio to what was made of it."),
    "first_audio_s": ("first_audio_seconds", "From the arrival of what ended a turn to the answer's first audio."),
}
SUMS = {
    "worked_s": ("work_seconds_total", "Time that the model has worked."),
    "heard_s": ("heard_audio_seconds_total", "Audio heard."),
    "spoken_s": ("spoken_audio_seconds_total", "Audio spoken."),
    "batches": ("batches_total", "Batches of model work."),
    "rows": ("batch_rows_total", "Operations in them."),
}


@dataclass(frozen=True)
class Summary:
    """Of one duration: how many and how much since the start; quantiles of the last minute, None without values."""

    count: int
    total_s: float
    quantiles: tuple[float | None, ...]


@dataclass(frozen=True)
class Report:
    """A worker's state: plain values, to be sent and added up."""

    sessions: int
    waiting_chunks: int
    limit: int
    sums: dict[str, float]
    durations: dict[str, Summary]

    @property
    def late_s(self) -> float:
        """90 % of the last minute's listening steps took no longer; 0 if there were none."""
        return self.durations["listen_s"].quantiles[1] or 0.0


class Measures:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sums = dict.fromkeys(SUMS, 0.0)
        self._recent = {name: deque[tuple[float, float]](maxlen=WINDOW_VALUES) for name in DURATIONS}
        self._count = dict.fromkeys(DURATIONS, 0)
        self._total = dict.fromkeys(DURATIONS, 0.0)

    def observe(self, name: str, value: float) -> None:
        if name in self._recent:
            self._recent[name].append((self._clock(), value))
            self._count[name] += 1
            self._total[name] += value
        elif name == "batch_rows":
            self._sums["batches"] += 1
            self._sums["rows"] += value
        else:
            self._sums[name] += value

    def report(self, sessions: int, waiting_chunks: int, limit: int) -> Report:
        begin_s = self._clock() - WINDOW_S
        durations = {}
        for name, recent in self._recent.items():
            last_minute = [value for time_s, value in recent if time_s >= begin_s]
            durations[name] = Summary(self._count[name], self._total[name], quantiles(last_minute))
        return Report(sessions, waiting_chunks, limit, dict(self._sums), durations)


def quantiles(values: list[float]) -> tuple[float | None, ...]:
    """`QUANTILES` of the values (nearest rank); None if there are none."""
    ordered = sorted(values)
    return tuple(ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else None for q in QUANTILES)
