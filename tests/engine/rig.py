"""A scheduler on a toy, with a clock of its own."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.scheduler import Scheduler
from freeze_omni.session import events as ev
from freeze_omni.session.session import SessionConfig


class Rig:
    """A scheduler whose clock stands still unless moved; collects what comes out by session."""

    def __init__(self, model, **config):
        self.now_s = 0.0
        self.out = defaultdict(list)
        self.failed = {}
        self.seen = defaultdict(list)
        serving = ServingConfig(**({"max_sessions": 8} | config))
        self.scheduler = Scheduler(
            model,
            serving,
            lambda: self.now_s,
            lambda key, found: self.out[key].extend(found),
            self.failed.__setitem__,
            lambda name, value: self.seen[name].append(value),
        )

    def run(self, limit=100000):
        for _ in range(limit):
            if not self.scheduler.tick():
                return
        raise AssertionError("the scheduler does not come to rest")

    def open(self, *keys, **config):
        for key in keys:
            self.scheduler.open(key, SessionConfig(**config))

    def put(self, key, item):
        self.scheduler.put(key, item)

    def kinds(self, key):
        return [type(found).__name__ for found in self.out[key]]

    def text(self, key):
        return "".join(found.text for found in self.out[key] if isinstance(found, ev.TextDelta))

    def audio(self, key):
        sounds = [found.samples for found in self.out[key] if isinstance(found, ev.PlayAudio)]
        return np.concatenate([np.zeros(0, dtype=np.float32), *sounds])


def speech(seed, seconds=0.64):
    """Loud noise, then silence: what the gate takes for a short word."""
    rng = np.random.default_rng(seed)
    loud = 0.3 * rng.standard_normal(int(seconds * 16000))
    quiet = 1e-4 * rng.standard_normal(16000)
    return np.concatenate([quiet[:8000], loud, quiet, quiet]).astype(np.float32)
