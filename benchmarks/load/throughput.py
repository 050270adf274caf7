"""Many sessions in one batch against the same sessions one after another, and whether they say the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.load.material import QUESTIONS, at_rate
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.scheduler import Scheduler
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

ANSWER_TOKENS = 16
TOLERANCE = 1e-3
"""Of samples in [-1, 1]: sums in another order differ in their last bits."""


def measure(model: FreezeOmni, sounds: Sequence[np.ndarray]) -> dict[str, Any]:
    """Every session hears one sound and answers it, then answers a typed question; greedy, and all briefly: at the
    end of a long answer its session would work alone, where in a server others have come. sounds: (S_i,), 24 kHz.

    batch8_speedup (for 8 sounds): audio heard and spoken a second of work, together over one by one.
    """
    everyone = range(len(sounds))
    _run(model, sounds, [0])  # warm
    begin_s = time.perf_counter()
    alone = [_run(model, sounds, [number]) for number in everyone]
    alone_s = time.perf_counter() - begin_s
    begin_s = time.perf_counter()
    together = _run(model, sounds, everyone)
    together_s = time.perf_counter() - begin_s
    audio_s = sum(found[number].audio_s for found, number in zip(alone, everyone, strict=True))
    same = [alone[number][number].equals(together[number]) for number in everyone]
    return {
        f"batch{len(sounds)}_speedup": round(
            sum(found.audio_s for found in together.values()) / together_s / (audio_s / alone_s), 2
        ),
        "audio_s": round(audio_s, 1),
        "alone_s": round(alone_s, 2),
        "together_s": round(together_s, 2),
        "outputs_identical": all(same),
    }


class Said:
    """All that one session heard and said."""

    def __init__(self, heard_s: float) -> None:
        self.heard_s = heard_s
        self.texts: list[str] = []
        self.sounds: list[np.ndarray] = [np.zeros(0, dtype=np.float32)]

    def take(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            if isinstance(output, ev.TranscriptDelta | ev.TextDelta):
                self.texts.append(output.text)
            elif isinstance(output, ev.PlayAudio):
                self.sounds.append(output.samples)

    @property
    def audio_s(self) -> float:
        return self.heard_s + sum(map(len, self.sounds)) / 24000

    def equals(self, other: Said) -> bool:
        one, two = np.concatenate(self.sounds), np.concatenate(other.sounds)
        return self.texts == other.texts and len(one) == len(two) and bool(np.allclose(one, two, atol=TOLERANCE))


def _run(model: FreezeOmni, sounds: Sequence[np.ndarray], which: Sequence[int]) -> dict[int, Said]:
    """These sessions, all at once, to their end."""
    said = {number: Said(len(sounds[number]) / 24000) for number in which}
    failed: dict[int, str] = {}
    config = ServingConfig(max_sessions=len(sounds), max_waiting_chunks=10_000, gather_ms=0)
    times = {"now": 0.0}

    def clock() -> float:  # the answers are played at once: only the order of work counts here
        times["now"] += 1e-6
        return times["now"]

    scheduler = Scheduler(model, config, clock, lambda key, found: said[key].take(found), failed.__setitem__)
    for number in which:
        config = SessionConfig(turn_detection=TurnDetection.MANUAL, temperature=0.0, max_new_tokens=ANSWER_TOKENS)
        scheduler.open(number, config)
        scheduler.put(number, at_rate(sounds[number], model.rates.input_hz))
        scheduler.put(number, ev.Respond())
    _exhaust(scheduler)
    for number in which:
        scheduler.put(number, ev.TextInput(QUESTIONS[number % len(QUESTIONS)]))
    _exhaust(scheduler)
    if failed:
        raise RuntimeError(f"sessions failed: {failed}")
    return said


def _exhaust(scheduler: Scheduler) -> None:
    while scheduler.tick():
        pass
