"""State labels: from a timeline of the user's side to one label for each chunk, as docs/duplex.md defines it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from freeze_omni.duplex.state_head import ANSWER, IGNORE, NO_LABEL, SPEAKING, WAIT

Kind = Literal["complete", "cutoff", "backchannel", "noise", "side", "echo", "wait"]
# after a cutoff the user will go on: nothing is decided
DECISIONS = {"complete": ANSWER, "cutoff": None, "wait": WAIT}
DECISIONS |= dict.fromkeys(("backchannel", "noise", "side", "echo"), IGNORE)
TO_SYSTEM = ("complete", "cutoff", "wait")
GOES_ON = ("cutoff", "wait")  # the turn is not over
ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Segment:
    """One stretch of sound on the user's side, its inner pauses included, from its true start to its true end.

    kind: complete (a turn for the system, said to its end), cutoff (a turn that breaks off), backchannel ("uh-huh"),
    noise, side (speech that is not for the system), echo (of what the system says), wait ("hold on a moment").
    """

    kind: Kind
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if self.kind not in DECISIONS:
            raise ValueError(f"unknown kind '{self.kind}', expected {', '.join(DECISIONS)}")
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(f"a segment from {self.start_s} s to {self.end_s} s")


@dataclass(frozen=True)
class LabelConfig:
    """decision_delay_s: silence before a decision is expected."""

    decision_delay_s: float = 0.24
    chunk_s: float = 0.16

    def __post_init__(self) -> None:
        if self.decision_delay_s < 0 or self.chunk_s <= 0:
            raise ValueError("decision_delay_s must be 0 or more, chunk_s above 0")


def decision_chunk(end_s: float, config: LabelConfig) -> int:
    """The first chunk that ends at least decision_delay_s after end_s."""
    return math.ceil((end_s + config.decision_delay_s - ROUNDING_S) / config.chunk_s) - 1


def needed_s(segments: Sequence[Segment], config: LabelConfig) -> float:
    """Audio that is needed so that every segment's decision lies inside."""
    last = max((decision_chunk(segment.end_s, config) for segment in segments), default=-1)
    return (last + 1) * config.chunk_s


def chunk_labels(segments: Sequence[Segment], chunks: int, config: LabelConfig | None = None) -> list[int]:
    """One label for each of `chunks` chunks: 0, 1, 2, 3, or -1 for none.

    0 wherever nothing has been decided: in speech, in pauses, after a cut-off turn. 1, 2 or 3 on the decision chunk of
    a segment and in the silence after it, until the next segment starts: a head that misses the first chunk is to
    decide later. -1 where another sound goes on. A decision is void if the user speaks to the system before its chunk
    has ended; one of 2 or 3 also if any other sound is heard; one of 2 also while a turn waits, cut off or by a `wait`.
    """
    config = config or LabelConfig()
    labels = [SPEAKING] * chunks
    for segment in sorted(segments, key=lambda item: item.end_s):
        decision = DECISIONS[segment.kind]
        chunk = decision_chunk(segment.end_s, config)
        if decision is not None and chunk < chunks and not _void(segment, segments, chunk, config):
            labels[chunk] = decision
            starts = [int((x.start_s + ROUNDING_S) / config.chunk_s) for x in segments if x.start_s > segment.end_s]
            sound_s = max(x.end_s for x in segments if x.start_s <= segment.end_s)
            for after in range(chunk + 1, min([chunks, *starts])):
                labels[after] = decision if after * config.chunk_s >= sound_s - ROUNDING_S else NO_LABEL
    return labels


def _void(segment: Segment, segments: Sequence[Segment], chunk: int, config: LabelConfig) -> bool:
    heard_s = (chunk + 1) * config.chunk_s - ROUNDING_S
    over = [x for x in segments if x.end_s > segment.end_s and x.start_s < heard_s]
    if segment.kind == "complete":
        return any(other.kind in TO_SYSTEM for other in over)
    if segment.kind == "wait":
        return bool(over)
    before = [x for x in segments if x.end_s <= segment.end_s and x.kind in TO_SYSTEM]
    return bool(over) or bool(before) and max(before, key=lambda other: other.end_s).kind in GOES_ON
