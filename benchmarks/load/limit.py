"""As many users as are admitted, all at once and at the pace of speech; and one more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.material import QUESTIONS
from benchmarks.load.server import Served, serving
from freeze_omni.client.realtime import HZ, Realtime, ServerError, decode
from freeze_omni.eval.bootstrap import summarise

SILENCE_S = 2.5
WATCH_S = 0.5
STUTTER_S = 0.05
"""An answer whose next piece comes later than this after the end of the last one has an audible gap."""


async def measure(model: Path, sounds: Sequence[np.ndarray], seconds: float, sessions: int = 0) -> dict[str, Any]:
    """Users speak, hear the answer, speak again. sessions: 0 takes as many as the server measures for itself."""
    async with serving(model, max_sessions=sessions) as served:
        count, end_s = served.router.limit, time.monotonic() + seconds
        users = [_User(served.url, sounds[number % len(sounds)], number) for number in range(count)]
        crowd = asyncio.gather(*(user.run(end_s) for user in users))
        await asyncio.sleep(min(5.0, seconds / 3))
        refused_ms, reason = await _one_more(served.url)
        waiting = await _watch(served, end_s)
        await crowd
        report = served.router.handles[0].report
    return {
        "admission_limit": count,
        "step_p50_ms_at_limit": _ms(report.steps_s[0]),
        "step_p90_ms_at_limit": _ms(report.steps_s[1]),
        "steps": report.durations["listen_s"].number,
        "waiting_chunks_most": max(waiting, default=0),
        "turns_answered": sum(user.answered for user in users),
        "first_audio_ms": summarise((1000 * s for user in users for s in user.first_audio_s), digits=0),
        "stutters": sum(user.stutters for user in users),
        "one_more_refused": reason,
        "one_more_refused_ms": round(refused_ms),
        "users_failed": [user.fault for user in users if user.fault],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


class _User:
    """Speaks and types in turns, and listens to the answers to their ends; spoken turns are ended by the gate.

    What is typed is always answered, so that the load does not hang on what the model makes of the sounds.
    """

    def __init__(self, url: str, sound: np.ndarray, number: int) -> None:
        self.url, self.sound, self.number = url, sound, number
        self.first_audio_s: list[float] = []
        self.answered = self.stutters = 0
        self.fault = ""
        self._asked_s: float | None = None
        self._plays_until_s = 0.0

    async def run(self, end_s: float) -> None:
        try:
            async with Realtime(self.url) as talk:
                turns = {"input": {"turn_detection": {"type": "server_vad"}}}
                await talk.configure(audio=turns, freeze_omni={"cleared": True})
                await asyncio.sleep(0.37 * self.number)  # not all at the same moment
                listening = asyncio.create_task(self._listen(talk))
                silence = np.zeros(round(SILENCE_S * HZ), dtype=np.float32)
                while time.monotonic() < end_s and not listening.done():
                    await talk.speak(self.sound)
                    await talk.speak(silence)
                    if time.monotonic() > self._plays_until_s:
                        self._asked_s = time.monotonic()
                        await talk.type(QUESTIONS[self.number % len(QUESTIONS)])
                        await talk.speak(silence)
                    while time.monotonic() < min(self._plays_until_s, end_s):
                        await talk.speak(silence[: HZ // 5])
                listening.cancel()
                if listening.done() and not listening.cancelled():
                    listening.result()
        except ServerError as error:
            self.fault = str(error)

    async def _listen(self, talk: Realtime) -> None:
        async for event in talk.events():
            now_s = time.monotonic()
            match event["type"]:
                case "error" if event["error"]["code"] != "conversation_already_has_active_response":
                    raise ServerError(event["error"]["message"], event["error"]["code"])
                case "input_audio_buffer.speech_stopped":
                    self._asked_s = now_s
                case "response.output_audio.delta":
                    if self._asked_s is not None:
                        self.first_audio_s.append(now_s - self._asked_s)
                    elif now_s - self._plays_until_s > STUTTER_S:
                        self.stutters += 1
                    begin_s = max(now_s, self._plays_until_s)
                    self._plays_until_s = begin_s + len(decode(event["delta"])) / HZ
                    self._asked_s = None
                case "output_audio_buffer.cleared":
                    self._plays_until_s = now_s
                case "response.done":
                    self.answered += event["response"]["status"] in ("completed", "incomplete")


async def _one_more(url: str) -> tuple[float, str]:
    """How long it takes until one session too many is refused, and the code; empty if it is not."""
    begin_s = time.perf_counter()
    try:
        async with Realtime(url) as talk:
            await asyncio.wait_for(talk.until("no.such"), 3)
    except ServerError as error:
        return 1000 * (time.perf_counter() - begin_s), error.code or str(error)
    except TimeoutError:
        pass
    return 1000 * (time.perf_counter() - begin_s), ""


async def _watch(served: Served, end_s: float) -> list[int]:
    waiting = []
    while time.monotonic() < end_s:
        await asyncio.sleep(WATCH_S)
        waiting += [handle.report.waiting_chunks for handle in served.router.handles if handle.report]
    return waiting
