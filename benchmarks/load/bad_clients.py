"""Clients that misbehave: each takes an open socket and spoils its own session."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import websockets

from freeze_omni.client.realtime import HZ, encode
from freeze_omni.server.config import Limits

Fault = Callable[[Any, random.Random, float], Awaitable[None]]
ADDRESS, FLOOD = ("127.0.0.2", 0), ("127.0.0.3", 0)
"""Bad clients come from other addresses than the good users: those of a flood have one of their own."""
FLOOD_CONNECTIONS = 40
STORY = "Tell me the story of the kaleidoscope."
MARKER = "kaleidoscope"
LONGEST_PROMPT = Limits.text_chars


async def spoil(url: str, fault: Fault, rng: random.Random, patience_s: float) -> None:
    """Connect, misbehave, and leave after `patience_s` at the latest."""
    try:
        async with _connect(url, ADDRESS) as socket:
            try:
                async with asyncio.timeout(patience_s):
                    await fault(socket, rng, patience_s)
            finally:
                if not socket.transport.is_reading():
                    socket.transport.abort()  # a closing handshake would have to be read
    except* (OSError, TimeoutError, websockets.WebSocketException):
        pass


def _connect(url: str, address: tuple[str, int]) -> websockets.connect:
    return websockets.connect(f"{url}/v1/realtime", max_size=None, close_timeout=1, local_addr=address)


async def _send(socket: Any, kind: str, **content: Any) -> None:
    await socket.send(json.dumps({"type": kind, **content}))
    await asyncio.sleep(0)  # `send` alone need not let others run, nor the time run out


async def _ask(socket: Any) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": STORY}]}
    await _send(socket, "conversation.item.create", item=item)
    await _send(socket, "response.create")


async def leaves(socket: Any, rng: random.Random, patience_s: float) -> None:
    """In the middle of its words, or of an answer, without a goodbye."""
    if rng.random() < 0.5:
        await _ask(socket)
    else:
        await _send(socket, "input_audio_buffer.append", audio=_noise(rng, 1.0))
    await asyncio.sleep(rng.uniform(0, patience_s / 5))
    socket.transport.abort()


async def garbage(socket: Any, rng: random.Random, patience_s: float) -> None:
    for _ in range(20):
        await socket.send(rng.randbytes(rng.randrange(200)))
        await socket.send(rng.choice(["{", "null", "[]", '{"type": null}', '{"type": "session.update", "session": 7}']))


async def oversized(socket: Any, rng: random.Random, patience_s: float) -> None:
    await socket.send("x" * 400_000)
    await socket.recv()


async def mistyped(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Right events with wrong fields."""
    for content in ({"audio": 5}, {"audio": "%%%"}, {"audio": "AAAA"}, {"audio": ["AAAA"]}, {}):
        await _send(socket, "input_audio_buffer.append", **content)
    await _send(socket, "conversation.item.truncate", item_id=3, audio_end_ms="x")
    for item in (None, {"type": "message", "role": 1, "content": [{}]}, {"type": "function_call"}):
        await _send(socket, "conversation.item.create", item=item)
    await _send(socket, "response.create", response="now")


async def wrong_rate(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Asks for an unknown rate, sends sound of another one anyway, and asks for an answer."""
    wanted = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": rng.choice([8000, 44100, -1, "x"])}}}}
    await _send(socket, "session.update", session=wanted)
    await _send(socket, "session.update", session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    await _send(socket, "input_audio_buffer.append", audio=_noise(rng, rng.uniform(0.2, 1)))
    await _send(socket, "input_audio_buffer.commit")
    await _send(socket, "response.create")
    await asyncio.sleep(rng.uniform(0, patience_s / 5))


async def floods_with_sound(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Far faster than real time."""
    piece = _noise(rng, 1.0)
    for _ in range(2000):
        await _send(socket, "input_audio_buffer.append", audio=piece)


async def floods_with_messages(socket: Any, rng: random.Random, patience_s: float) -> None:
    for _ in range(20_000):
        await _send(socket, rng.choice(["input_audio_buffer.clear", "response.create", "response.cancel"]))


async def floods_with_connections(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Far more than an address may have open, held until the end."""
    host, port = socket.remote_address[:2]

    async def hold() -> None:
        async with _connect(f"ws://{host}:{port}", FLOOD):
            await asyncio.sleep(patience_s)

    await asyncio.gather(*(hold() for _ in range(FLOOD_CONNECTIONS)), return_exceptions=True)


async def long_prompt(socket: Any, rng: random.Random, patience_s: float) -> None:
    """The longest system prompt that is taken, or longer than any, and then a question."""
    text = "You answer in one short sentence, whatever it is that the user says. " * 310
    for instructions in (text[:LONGEST_PROMPT], text + text):
        await _send(socket, "session.update", session={"instructions": instructions})
    await _ask(socket)
    while True:
        await socket.recv()


async def stalls(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Goes on asking, and takes no answer."""
    socket.transport.pause_reading()
    await _go_on_asking(socket)


async def slow(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Takes an event now and then."""
    await _ask(socket)
    while True:
        await asyncio.sleep(patience_s / 20)
        await socket.recv()


async def asks_on(socket: Any, rng: random.Random, patience_s: float) -> None:
    """Not bad: to compare a client that stalls with one that asks the same and takes its answers."""

    async def take() -> None:
        async for _ in socket:
            pass

    async with asyncio.TaskGroup() as both:
        both.create_task(take())
        both.create_task(_go_on_asking(socket))


async def _go_on_asking(socket: Any) -> None:
    while True:
        await _ask(socket)
        await asyncio.sleep(0.5)


def _noise(rng: random.Random, seconds: float) -> str:
    sound = 0.3 * np.random.default_rng(rng.randrange(2**31)).standard_normal(round(seconds * HZ))
    text = encode(sound.astype(np.float32))
    odd = base64.b64decode(text)[:-1]
    return text if rng.random() < 0.9 else base64.b64encode(odd).decode("ascii")


KINDS: tuple[Fault, ...] = (
    leaves, garbage, oversized, mistyped, wrong_rate, floods_with_sound, floods_with_messages, floods_with_connections,
    long_prompt, stalls, slow,
)  # fmt: skip
