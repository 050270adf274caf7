"""What rows share: the device, what was built on it, how long a row may take, and how a piece of work is timed."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.device.sizes import Size, build_llm, build_model
from freeze_omni.engine.metrics import quantiles
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.system import FreezeOmni

WARM_UP = 3
"""Runs before the timed ones; no more than are timed."""
Figures = dict[str, Any]
"""Name with its unit -> value."""


@dataclass
class Bench:
    """conf: folder of the YAMLs. work: a folder for more. peak_tflops: of the card, None if not known. ends_s: when the
    row that is measured has to be done, in seconds of `time.monotonic`."""

    size: Size
    device: torch.device
    conf: Path
    work: Path
    peak_tflops: float | None = None
    ends_s: float = float("inf")

    @cached_property
    def llm(self) -> FrozenLLM:
        return build_llm(self.size, self.device)

    @cached_property
    def model(self) -> FreezeOmni:
        return build_model(self.conf, self.llm, self.device)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_s

    def keep(self, *names: str) -> None:
        """Free all but these (`llm`, `model`), and what a row left, so that peaks of memory are a row's own."""
        for name in {"llm", "model"} - set(names):
            self.__dict__.pop(name, None)
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def time_ms(self, work: Callable[[], Any]) -> float:
        """How long work takes until the device has done it."""
        self.synchronise()
        begin_s = time.perf_counter()
        work()
        self.synchronise()
        return 1000 * (time.perf_counter() - begin_s)

    def timed(self, name: str, work: Callable[[], Any]) -> Figures:
        """Median and 90th percentile of many runs."""
        return percentiles(name, self.spent_ms(work, self.size.repeats))

    def spent_ms(self, work: Callable[[], Any], most: int) -> list[float]:
        """Times of at most so many runs, and of at least one, after some that are not timed."""
        for _ in range(min(WARM_UP, most)):
            work()
        spent: list[float] = []
        while not spent or len(spent) < most and not self.is_over:
            spent.append(self.time_ms(work))
        return spent


def percentiles(name: str, spent_ms: list[float]) -> Figures:
    middle, late = quantiles(spent_ms)
    return {f"{name}_p50_ms": round(middle, 3), f"{name}_p90_ms": round(late, 3)}
