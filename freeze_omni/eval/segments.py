"""Where a system speaks, from the level of its sound: so any system's output can be measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[float, float]
MERGE_S = 0.5  # Full-Duplex-Bench's: a shorter silence does not split what a model says
_FRAME_S = 0.02
_FLOOR_DB = -40.0
_SILENT = 1e-4
_SHORTEST_S = 0.06


def speech_segments(wav: np.ndarray, hz: int, merge_s: float = MERGE_S, breaks_s: Sequence[float] = ()) -> list[Span]:
    """(start, end) in seconds of what sounds in (S,): frames of 20 ms within 40 dB of the loudest.

    merge_s: silences up to this are inside a segment. breaks_s: where something new is known to begin; a silence
    just before one splits two segments, however short it is.
    """
    frame = max(round(_FRAME_S * hz), 1)
    count = len(wav) // frame
    level = np.sqrt(np.mean(wav[: count * frame].reshape(count, frame) ** 2, axis=1)) if count else np.zeros(0)
    if not count or level.max() < _SILENT:
        return []
    loud = level > level.max() * 10 ** (_FLOOR_DB / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    runs = [(start * frame / hz, end * frame / hz) for start, end in edges.reshape(-1, 2).tolist()]
    merged: list[Span] = []
    for start_s, end_s in runs:
        if merged and start_s - merged[-1][1] <= merge_s and not _split(merged[-1][1], start_s, breaks_s):
            merged[-1] = (merged[-1][0], end_s)
        else:
            merged.append((start_s, end_s))
    return [(start_s, end_s) for start_s, end_s in merged if end_s - start_s >= _SHORTEST_S]


def _split(end_s: float, start_s: float, breaks_s: Sequence[float]) -> bool:
    return any(end_s - _FRAME_S <= at_s <= start_s + _FRAME_S for at_s in breaks_s)


def clipped(segments: Sequence[Span], start_s: float, end_s: float) -> list[Span]:
    """The parts of the segments between two times."""
    cut = [(max(begin, start_s), min(end, end_s)) for begin, end in segments]
    return [(begin, end) for begin, end in cut if end > begin]
