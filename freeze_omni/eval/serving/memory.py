"""What a session costs while nothing is said, and what is left when sessions have come and gone."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

from freeze_omni.eval.decode.options import progress
from freeze_omni.serving.config import SeatConfig, ServingConfig
from freeze_omni.serving.scheduler import Scheduler
from freeze_omni.session import events as ev
from freeze_omni.session.model import SpokenModel

IDLE = 20


def measure(model: SpokenModel, sessions: int) -> dict[str, Any]:
    """`sessions` are opened, spoken to and closed. growth_mb: between the first tenth and the end."""
    scheduler = Scheduler(model, ServingConfig(max_sessions=1), _Clock(), lambda *_: None, lambda *_: None)
    early_mb, started_s = 0.0, time.time()
    for number in range(sessions):
        _one(scheduler, number)
        scheduler.close(number)
        if number == sessions // 10:
            early_mb = resident_mb()
        progress("sessions", number + 1, sessions, started_s)
    late_mb = resident_mb()
    for number in range(IDLE):
        _one(scheduler, number)
    idle_mb = (resident_mb() - late_mb) / IDLE
    return {"sessions_come_and_gone": sessions, "growth_mb": round(late_mb - early_mb, 1), "idle_mb": round(idle_mb, 2)}


def _one(scheduler: Scheduler, number: int) -> None:
    scheduler.open(number, SeatConfig(max_new_tokens=4))
    scheduler.put(number, ev.TextInput("Hello"))
    while scheduler.tick():
        pass


class _Clock:
    """Each look is a second later: answers are played at once."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def resident_mb() -> float:
    """Memory of this process that is in use, garbage left out."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
