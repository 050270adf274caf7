"""Markdown tables, and the form of figures in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table; nothing for no rows."""
    if not rows:
        return []
    lines = [list(head), ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def number(value: float | None, digits: int = 2) -> str:
    """A rounded number, `-` for none."""
    return MISSING if value is None else f"{value:.{digits}f}"


def rate(figures: Mapping[str, Any] | None) -> str:
    """An error rate with its interval: `12.3 (9.8-15.1)`."""
    if not figures:
        return MISSING
    return f"{figures['percent']:.1f} ({figures['low']:.1f}-{figures['high']:.1f})"


def share(figures: Mapping[str, Any] | None, key: str = "share") -> str:
    """A share in percent with its interval and count: `85.0 (77.1-92.0), 60`."""
    if not figures or figures.get(key) is None:
        return MISSING
    low, high = 100 * figures["low"], 100 * figures["high"]
    count = figures.get("count", figures.get("questions"))
    return f"{100 * figures[key]:.1f} ({low:.1f}-{high:.1f}), {count}"


def mean(figures: Mapping[str, Any] | None, digits: int = 2) -> str:
    """A mean with its interval: `3.21 (3.10-3.30)`."""
    if not figures:
        return MISSING
    return f"{figures['mean']:.{digits}f} ({figures['low']:.{digits}f}-{figures['high']:.{digits}f})"


def summary(figures: Mapping[str, Any] | None, digits: int = 0) -> str:
    """average | 50 % | 90 %, as in the paper's latency table, with slashes."""
    if not figures or figures.get("average") is None:
        return MISSING
    return " / ".join(f"{figures[key]:.{digits}f}" for key in ("average", "p50", "p90"))
