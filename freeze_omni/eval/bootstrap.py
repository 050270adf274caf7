"""Confidence intervals by resampling utterances (Bisani and Ney 2004)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float] | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of sum(numerators) / sum(denominators) over resampled utterances.

    Args:
        numerators: errors (or 0/1 hits) of each utterance.
        denominators: reference words of each utterance; None counts utterances.
    Returns: The lower and the upper end; (nan, nan) where there is nothing to draw from.
    """
    top = np.asarray(numerators, dtype=float)
    bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, dtype=float)
    if len(top) == 0 or bottom.sum() == 0:
        return float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(0, len(top), size=(draws, len(top)))
    totals = bottom[picks].sum(axis=1)
    values = top[picks].sum(axis=1)[totals > 0] / totals[totals > 0]
    tail = (1 - confidence) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def share_of(hits: Sequence[bool]) -> dict[str, float | int | None]:
    """The share of hits with its interval and their count; None for the share of nothing."""
    if not hits:
        return {"share": None, "low": None, "high": None, "count": 0}
    low, high = ratio_interval([float(hit) for hit in hits])
    return {
        "share": round(sum(hits) / len(hits), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "count": len(hits),
    }
