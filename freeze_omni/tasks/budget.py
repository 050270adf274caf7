"""A learning rate that ends on time: warm-up, then a cosine over steps or over minutes, whichever runs out first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler


class BudgetCosine(AbsBatchStepScheduler):
    """Linear warm-up, then a cosine from the peak to `final_scale` of it at the end of the budget.

    The position on the cosine is the larger of steps done / max_steps and seconds spent / max_minutes, so a training
    takes a known time on any machine. Time spent is part of the state: a resumed training has what was left.
    In distributed training the clock is that of rank 0.

    Args:
        warmup_steps: updates until the peak rate.
        max_steps: updates in all; None for no limit.
        max_minutes: wall-clock minutes of training and validation; None for no limit.
        final_scale: the last rate as a share of the peak.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int = 100,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        final_scale: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        if max_steps is None and max_minutes is None:
            raise ValueError("budgetcosine needs max_steps, max_minutes, or max_epoch with num_iters_per_epoch")
        self.optimizer = optimizer
        self.warmup_steps, self.final_scale = warmup_steps, final_scale
        self.max_steps, self.max_minutes = max_steps, max_minutes
        self.clock = clock
        self.step_num, self.elapsed_s = 0, 0.0
        self._last_s: float | None = None
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._set_rates()

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        by_steps = self.step_num / self.max_steps if self.max_steps else 0.0
        by_time = self.elapsed_s / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0

    def start(self) -> None:
        """Start the clock (building models is not training)."""
        self._last_s = self.clock()

    def step(self, epoch: int | None = None) -> None:
        self.step_num += 1
        self._spend()
        self._set_rates()

    def scale(self) -> float:
        """The present rate as a share of the peak."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        warmup = min(1.0, (self.step_num + 1) / max(1, self.warmup_steps))
        return warmup * (self.final_scale + (1 - self.final_scale) * cosine)

    def state_dict(self) -> dict[str, Any]:
        return {"step_num": self.step_num, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_num, self.elapsed_s = state["step_num"], state["elapsed_s"]
        self._set_rates()

    def __repr__(self) -> str:
        limits = f"max_steps={self.max_steps}, max_minutes={self.max_minutes}"
        return f"BudgetCosine(warmup_steps={self.warmup_steps}, {limits})"

    def _spend(self) -> None:
        now = self.clock()
        if self._last_s is not None:
            self.elapsed_s += now - self._last_s
        self._last_s = now
        if self.max_minutes and torch.distributed.is_available() and torch.distributed.is_initialized():
            device = self.optimizer.param_groups[0]["params"][0].device
            shared = torch.tensor(self.elapsed_s, dtype=torch.float64, device=device)
            torch.distributed.broadcast(shared, src=0)
            self.elapsed_s = float(shared)

    def _set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.scale()


def until_spent[T](batches: Iterable[T], schedulers: Iterable[object], model: object) -> Iterator[T]:
    """The batches, until the budget of any of the schedulers has run out; `model.progress` is set before each."""
    budgets = [scheduler for scheduler in schedulers if isinstance(scheduler, BudgetCosine)]
    for batch in batches:
        if any(budget.finished for budget in budgets):
            return
        model.progress = max((budget.progress for budget in budgets), default=0.0)
        yield batch
