"""What both dialogues share; it runs in the clients' environment, and imports nothing of ours."""

import asyncio
import json
import time
from collections.abc import Callable

import numpy as np

WAIT_S = 60


def loud(seconds: float, hz: int) -> np.ndarray:
    """What the server's VAD takes for speech (S,)."""
    return 0.3 * np.random.default_rng(0).standard_normal(round(seconds * hz))


def quiet(seconds: float, hz: int) -> np.ndarray:
    return 1e-4 * np.random.default_rng(0).standard_normal(round(seconds * hz))


def pcm(samples: np.ndarray) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


class Seen:
    """What a client did in a step. speaking: it plays an answer, or waits for more of it. changed_s: when its user last
    heard something new."""

    def __init__(self) -> None:
        self.speaking, self.changed_s = False, time.monotonic()
        self.clear()

    def clear(self) -> None:
        self.sound_s, self.stopped, self.heard, self.errors = 0.0, False, "", list[str]()

    def words(self, text: str) -> None:
        """Of the user. They may be told after the answer has begun."""
        self.heard = text

    def stop(self) -> None:
        """The client drops what it has not played: what sounded before is no answer to what is said now."""
        self.stopped, self.sound_s = True, 0.0

    def sound(self, seconds: float) -> None:
        self.sound_s += seconds
        self.changed_s = time.monotonic()

    def tell(self, step: str) -> None:
        told = {key: vars(self)[key] for key in ("sound_s", "stopped", "heard", "errors")}
        print(json.dumps({"step": step, **told}), flush=True)
        self.clear()

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not what():
                await asyncio.sleep(0.02)

    async def answered(self, aloud: bool = False) -> None:
        """There was sound, and no more comes. aloud: what the user said was heard before."""
        await self.until(lambda: self.heard or not aloud)
        await self.until(lambda: self.sound_s > 0 and not self.speaking and time.monotonic() - self.changed_s > 1.5)
