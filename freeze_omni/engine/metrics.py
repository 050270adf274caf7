"""Measurements of a worker since its start, as Prometheus takes them: sums, and durations counted in buckets.

Also the listening steps of the last minute, by which the front admits sessions.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

WINDOW_S = 60.0
WINDOW_VALUES = 4096
QUANTILES = (0.5, 0.9)


class Duration(NamedTuple):
    """A histogram: its name in `/metrics`, what it is, upper bounds of its buckets, and its label `kind`, if any."""

    name: str
    text: str
    bounds_s: tuple[float, ...]
    kind: str = ""


QUEUE = Duration(
    "queue_seconds",
    "From when an operation of the model is asked for to its batch; writing waits while there is text to speak.",
    (0.005, 0.01, 0.03, 0.06, 0.1, 0.16, 0.32, 0.64, 1.28, 5.12, 30.0),
)
DURATIONS = {
    "listen_s": Duration(
        "listen_step_seconds",
        "From the arrival of 160 ms of audio to what was made of it; above 0.16 the server is late.",
        (0.01, 0.02, 0.04, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.24, 0.32, 0.64, 1.28, 5.12),
    ),
    "first_audio_s": Duration(
        "first_audio_seconds",
        "From the arrival of what ended a turn to the answer's first audio.",
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0),
    ),
    "llm_token_s": Duration(
        "llm_token_seconds",
        "Batches of model work in which the LLM wrote a token of an answer; speech takes four a second.",
        (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.16, 0.25, 0.5, 1.0, 2.5),
    ),
    **{f"queue_{kind}_s": QUEUE._replace(kind=kind) for kind in ("listen", "write", "speak")},
}
# the name in `/metrics`, and what it is
SUMS = {
    "worked_s": ("work_seconds_total", "Time that the model has worked."),
    "heard_s": ("heard_audio_seconds_total", "Audio heard."),
    "spoken_s": ("spoken_audio_seconds_total", "Audio spoken."),
    "batches": ("batches_total", "Batches of model work."),
    "rows": ("batch_rows_total", "Operations in them."),
    "drafts": ("drafts_total", "Answers begun before it was decided that the turn had ended, those dropped included."),
    "answers": ("answers_total", "Answers that have ended, stopped ones included."),
    "llm_tokens": ("llm_tokens_total", "LLM tokens of the answers."),
    "speech_tokens": ("speech_tokens_total", "Speech tokens of the answers."),
}


class Histogram(NamedTuple):
    """counts: values in each bucket of a `Duration`, at last those above all bounds. total_s: their sum."""

    counts: tuple[int, ...]
    total_s: float

    @property
    def number(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Report:
    """A worker's state: plain values, to be sent and added up.

    steps_s: `QUANTILES` of the last minute's listening steps, None without any.
    """

    sessions: int
    waiting_chunks: int
    limit: int
    sums: dict[str, float]
    durations: dict[str, Histogram]
    steps_s: tuple[float | None, ...]

    @property
    def late_s(self) -> float:
        """90 % of the last minute's listening steps took no longer; 0 if there were none."""
        return self.steps_s[1] or 0.0


class Measures:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sums = dict.fromkeys(SUMS, 0.0)
        self._counts = {name: [0] * (len(one.bounds_s) + 1) for name, one in DURATIONS.items()}
        self._totals_s = dict.fromkeys(DURATIONS, 0.0)
        self._steps = deque[tuple[float, float]](maxlen=WINDOW_VALUES)

    def observe(self, name: str, value: float) -> None:
        if name in DURATIONS:
            self._counts[name][bisect_left(DURATIONS[name].bounds_s, value)] += 1
            self._totals_s[name] += value
            if name == "listen_s":
                self._steps.append((self._clock(), value))
        elif name == "batch_rows":
            self._sums["batches"] += 1
            self._sums["rows"] += value
        else:
            self._sums[name] += value

    def report(self, sessions: int, waiting_chunks: int, limit: int) -> Report:
        begin_s = self._clock() - WINDOW_S
        last_minute = quantiles([value for time_s, value in self._steps if time_s >= begin_s])
        durations = {name: Histogram(tuple(self._counts[name]), self._totals_s[name]) for name in DURATIONS}
        return Report(sessions, waiting_chunks, limit, dict(self._sums), durations, last_minute)


def quantiles(values: list[float]) -> tuple[float | None, ...]:
    """`QUANTILES` of the values (nearest rank); None if there are none."""
    ordered = sorted(values)
    return tuple(ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else None for q in QUANTILES)
