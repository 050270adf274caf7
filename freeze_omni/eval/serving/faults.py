"""Clients that leave, send nonsense or floods, and workers that are killed, beside users who must not notice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import websockets

from freeze_omni.client.realtime import Realtime, ServerError, encode
from freeze_omni.eval.serving.material import QUESTIONS
from freeze_omni.eval.serving.server import Served, serving
from freeze_omni.server.config import Limits

LIMITS = Limits(message_bytes=200_000, messages_s=100, idle_s=20)
STUCK_S = 90
MARKER = "My name is {}."


async def measure(model: Path, minutes: float, users: int = 3, seed: int = 0) -> dict[str, Any]:
    """crashes: the server or a worker went down without being killed. stuck: an answer never came.

    cross_talk: a user was told an answer that is not the one to its own words, by the answer it gets alone.
    """
    rng, seen = random.Random(seed), Counter()
    async with serving(model, LIMITS, workers=1, max_sessions=users + 6) as served:
        expected = [await _ask(served.url, number) for number in range(users)]
        end_s = time.monotonic() + 60 * minutes
        good = [_good(served.url, number, expected[number], end_s, seen) for number in range(users)]
        bad = [_bad(served.url, random.Random(rng.random()), end_s, seen) for _ in range(3)]
        await asyncio.gather(*good, *bad, _kills(served, rng, end_s, seen))
        alive = served.thread.is_alive()
        healthy = await _ask(served.url, 0) == expected[0] if alive else False
        crashes = served.pool.lost_workers - seen["kills"] + (not alive)
    return {
        "fault_minutes": round(minutes, 2),
        "crashes": crashes,
        "cross_talk": seen["cross_talk"],
        "stuck": seen["stuck"],
        "healthy_at_the_end": healthy,
        **{name: seen[name] for name in ("answers", "refused", "kills", *(fault.__name__[1:] for fault in _FAULTS))},
    }


async def _ask(url: str, number: int) -> str:
    """The answer that a user gets to words that are its own, in a session of its own."""
    async with Realtime(url) as talk:
        await talk.configure(freeze_omni={"temperature": 0.0})
        await talk.type(f"{MARKER.format(number)} {QUESTIONS[number % len(QUESTIONS)]}")
        done = (await talk.until("response.done"))[-1]["response"]
        return done["status"] + ": " + done["output"][0]["content"][0]["transcript"]


async def _good(url: str, number: int, expected: str, end_s: float, seen: Counter) -> None:
    while time.monotonic() < end_s:
        try:
            found = await asyncio.wait_for(_ask(url, number), STUCK_S)
        except ServerError:  # full, or its worker was killed
            seen["refused"] += 1
            await asyncio.sleep(0.5)
        except TimeoutError:
            seen["stuck"] += 1
        else:
            seen["answers"] += 1
            seen["cross_talk"] += found != expected


async def _bad(url: str, rng: random.Random, end_s: float, seen: Counter) -> None:
    while time.monotonic() < end_s:
        fault = rng.choice(_FAULTS)
        try:
            async with websockets.connect(f"{url}/v1/realtime", max_size=None) as socket:
                await asyncio.wait_for(fault(socket, rng), 15)
        except (OSError, TimeoutError, websockets.WebSocketException):
            pass
        seen[fault.__name__[1:]] += 1
        await asyncio.sleep(rng.uniform(0, 0.3))


async def _kills(served: Served, rng: random.Random, end_s: float, seen: Counter) -> None:
    """Kill a worker now and then, and not in the last seconds."""
    while (wait_s := rng.uniform(10, 60)) < end_s - time.monotonic() - 10:
        await asyncio.sleep(wait_s)
        ready = [hand for hand in served.pool.hands if hand.ready]
        if ready:
            seen["kills"] += 1
            ready[0].body.kill()


async def _leaves(socket: Any, rng: random.Random) -> None:
    """In the middle of an answer, without a word."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tell me a story."}]}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    await asyncio.sleep(rng.uniform(0, 2))
    socket.transport.abort()


async def _garbage(socket: Any, rng: random.Random) -> None:
    for _ in range(20):
        await socket.send(rng.randbytes(rng.randrange(200)))
        await socket.send(rng.choice(["{", "null", "[]", '{"type": null}', '{"type": "session.update", "session": 7}']))


async def _oversized(socket: Any, rng: random.Random) -> None:
    await socket.send("x" * 400_000)
    await socket.recv()


async def _mistyped(socket: Any, rng: random.Random) -> None:
    for content in ({"audio": 5}, {"audio": "%%%"}, {"audio": "AAAA"}, {}):
        await socket.send(json.dumps({"type": "input_audio_buffer.append", **content}))
    await socket.send(json.dumps({"type": "conversation.item.truncate", "item_id": 3, "audio_end_ms": "x"}))


async def _wrong_rate(socket: Any, rng: random.Random) -> None:
    wanted = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": rng.choice([8000, 44100, -1, "x"])}}}}
    await socket.send(json.dumps({"type": "session.update", "session": wanted}))


async def _floods(socket: Any, rng: random.Random) -> None:
    piece = encode(np.zeros(24000, dtype=np.float32))
    for _ in range(2000):
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": piece}))


async def _reads_nothing(socket: Any, rng: random.Random) -> None:
    """A stalled client: it asks, and takes no answer."""
    socket.transport.pause_reading()
    await _leaves(socket, rng)


_FAULTS: tuple[Callable[[Any, random.Random], Awaitable[None]], ...] = (
    _leaves, _garbage, _oversized, _mistyped, _wrong_rate, _floods, _reads_nothing,
)  # fmt: skip
