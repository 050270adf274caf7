"""What a session costs while nothing is said, and what is left when sessions have come and gone."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.load.material import HZ, at_rate
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.scheduler import Scheduler
from freeze_omni.eval.runner import progress
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

IDLE = 20
WARM_SHARE = 0.2
"""The first sessions warm the allocator up; growth is measured after them."""
LOOKS = 100
HEARD_S = 1.0


def measure(model: FreezeOmni, sessions: int, sounds: Sequence[np.ndarray]) -> dict[str, Any]:
    """`sessions` are opened, spoken to, answer and are closed; then some stay. sounds: (S_i,), 24 kHz.

    growth_kb_per_session: slope of the least squares line through the process's own memory by sessions, the first
    fifth left out. idle_kb: what a session takes of that memory when it has answered and nothing is said; cache_kb:
    what the tensors of its history have room for, of which the system counts what was written to.
    """
    heard = [at_rate(sound[: round(HEARD_S * HZ)], model.rates.input_hz) for sound in sounds]
    scheduler = Scheduler(model, ServingConfig(max_sessions=1), _Clock(), lambda *_: None, _failed)
    looks: list[tuple[int, float]] = []
    started_s, every = time.time(), max(sessions // LOOKS, 1)
    for number in range(sessions):
        _one(scheduler, number, heard[number % len(heard)])
        scheduler.close(number)
        if number % every == 0 and number >= WARM_SHARE * sessions:
            looks.append((number, resident_kb()))
        progress("sessions", number + 1, sessions, started_s)
    before_kb = resident_kb()
    for number in range(IDLE):
        _one(scheduler, number, heard[0])
    idle_kb = (resident_kb() - before_kb) / IDLE
    cache_kb = sum(held_bytes(slot.session.history) for slot in scheduler.slots.values()) / IDLE / 1000
    return {
        "sessions_come_and_gone": sessions,
        "growth_kb_per_session": round(slope(looks), 3),
        "growth_mb": round(slope(looks) * sessions / 1000, 2),
        "idle_kb": round(idle_kb, 1),
        "cache_kb": round(cache_kb, 1),
        "idle_over_caches": round(idle_kb / cache_kb, 2),
    }


def _one(scheduler: Scheduler, number: int, heard: np.ndarray) -> None:
    """Someone says something, and is answered in a few words, which are played to their end."""
    scheduler.open(number, SessionConfig(turn_detection=TurnDetection.MANUAL, max_new_tokens=4))
    scheduler.put(number, heard)
    scheduler.put(number, ev.Respond())
    while scheduler.tick() or scheduler.slots[number].busy:
        pass


def _failed(key: Any, reason: str) -> None:
    raise RuntimeError(f"session {key}: {reason}")


class _Clock:
    """Each look is a second later: answers are played at once."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def slope(looks: Sequence[tuple[float, float]]) -> float:
    """Of the least squares line through points (x, y); 0 for fewer than two."""
    if len(looks) < 2:
        return 0.0
    return float(np.polyfit(*zip(*looks, strict=True), 1)[0])


def held_bytes(root: Any) -> int:
    """Memory of all tensors and arrays that hang on `root`, each storage once; modules are left out."""
    return sum({key: size for key, size in _storages(root, set())}.values())


def _storages(item: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    if id(item) in seen or isinstance(item, nn.Module | torch.dtype | torch.device):
        return
    seen.add(id(item))
    if isinstance(item, Tensor):
        storage = item.untyped_storage()
        yield storage.data_ptr(), storage.nbytes()
    elif isinstance(item, np.ndarray):
        yield item.__array_interface__["data"][0], item.nbytes
    else:
        parts = item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple | set) else ()
        for part in (*parts, *getattr(item, "__dict__", {}).values()):
            yield from _storages(part, seen)


def resident_kb() -> float:
    """Memory of this process that no file backs, garbage and what the allocator keeps free left out; Linux."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _, resident, shared = map(int, Path("/proc/self/statm").read_text().split()[:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1000
