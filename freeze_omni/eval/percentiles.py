"""average | 50 % | 90 %, as the paper's latency table has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def summarise(values: Iterable[float], digits: int = 3) -> dict[str, Any]:
    """Mean, median and 90th percentile of the values; None each where there is none."""
    found = np.asarray(list(values), dtype=float)
    if len(found) == 0:
        return {"average": None, "p50": None, "p90": None, "count": 0}
    return {
        "average": round(float(found.mean()), digits),
        "p50": round(float(np.percentile(found, 50)), digits),
        "p90": round(float(np.percentile(found, 90)), digits),
        "count": len(found),
    }
