"""Means, percentiles and shares, with confidence intervals by resampling utterances (Bisani and Ney 2004)."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

_DRAWS = 1000
_TAIL = (1 - 0.95) / 2


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float] | None = None) -> tuple[float, float]:
    """The 95 % interval of sum(numerators) / sum(denominators) over resampled utterances; (nan, nan) of nothing.

    numerators: errors (or 0/1 hits) of each utterance. denominators: its reference words; None counts utterances.
    """
    top = np.asarray(numerators, dtype=float)
    bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, dtype=float)
    if len(top) == 0 or bottom.sum() == 0:
        return float("nan"), float("nan")
    picks = np.random.default_rng(0).integers(0, len(top), size=(_DRAWS, len(top)))
    totals = bottom[picks].sum(axis=1)
    values = top[picks].sum(axis=1)[totals > 0] / totals[totals > 0]
    return float(np.quantile(values, _TAIL)), float(np.quantile(values, 1 - _TAIL))


def share_of(hits: Sequence[bool]) -> dict[str, float | int | None]:
    """The share of hits with its interval and their count; None for the share of nothing."""
    found = mean_of([float(hit) for hit in hits])
    return {"share": found.pop("mean"), **found}


def mean_of(values: Sequence[float], over: Sequence[float] | None = None) -> dict[str, float | int | None]:
    """The mean, or sum(values) / sum(over), with its interval and count; None for the mean of nothing."""
    if not values or over is not None and not sum(over):
        return {"mean": None, "low": None, "high": None, "count": 0}
    low, high = ratio_interval(values, over)
    mean = sum(values) / (sum(over) if over is not None else len(values))
    return {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4), "count": len(values)}


def percentile_interval(values: Sequence[float], percent: float) -> tuple[float, float]:
    """The 95 % interval of a percentile over resampled values; (nan, nan) of nothing."""
    found = np.asarray(values, dtype=float)
    if len(found) == 0:
        return float("nan"), float("nan")
    picks = np.random.default_rng(0).integers(0, len(found), size=(_DRAWS, len(found)))
    drawn = np.percentile(found[picks], percent, axis=1)
    return float(np.quantile(drawn, _TAIL)), float(np.quantile(drawn, 1 - _TAIL))


def difference_of(ones: Sequence[float], others: Sequence[float]) -> dict[str, float | int | None]:
    """The mean of one measure less another's, on the same utterances in the same order, with its interval and count."""
    return mean_of([one - other for one, other in zip(ones, others, strict=True)])


def summarise(values: Iterable[float], digits: int = 3) -> dict[str, Any]:
    """Average, median and 90th percentile, as in the paper's latency table; None each for nothing."""
    found = np.asarray(list(values), dtype=float)
    if len(found) == 0:
        return {"average": None, "p50": None, "p90": None, "count": 0}
    figures = {"average": found.mean(), "p50": np.percentile(found, 50), "p90": np.percentile(found, 90)}
    return {name: round(float(value), digits) for name, value in figures.items()} | {"count": len(found)}
