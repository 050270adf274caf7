"""A small client of the Realtime protocol: sends sound at the pace of speech, takes events as they come."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import websockets

HZ = 24000
PIECE_S = 0.04
OWN = "freeze_omni"  # of our server's sessions: what it has beyond OpenAI's protocol
BETA = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.text.delta": "response.output_text.delta",
}
"""Names of the protocol's beta, which other servers may still use."""


class ServerError(RuntimeError):
    """An error that the server reports; `code` is the protocol's."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Realtime:
    """One session: `async with Realtime(url) as talk: ...` Raises ServerError if there is no server, or it refuses.

    url: of `freeze-omni serve`, ws://host:port, or a whole address, wss://host/v1/realtime?model=NAME. headers: such as
    another form of the key. ca: certificate to trust, for a self-made one.
    """

    url: str
    api_key: str = ""
    ca: Path | None = None
    headers: dict[str, str] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)

    @property
    def stop(self) -> str:
        """The event at which the playback stops. Ours is asked for the exact one; others tell that the user speaks."""
        return "output_audio_buffer.cleared" if OWN in self.session else "input_audio_buffer.speech_started"

    async def __aenter__(self) -> Realtime:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        options: dict[str, Any] = {"additional_headers": headers | self.headers, "max_size": None}
        if self.url.startswith("wss"):
            options["ssl"] = ssl.create_default_context(cafile=self.ca)
        try:
            self._socket = await websockets.connect(address(self.url), **options)
        except websockets.InvalidStatus as error:
            raise ServerError(f"{self.url}: refused: {error.response.body.decode(errors='replace')}") from None
        except (OSError, websockets.WebSocketException) as error:
            raise ServerError(f"{self.url}: no server answers there ({error}); is `freeze-omni serve` up?") from None
        self.session = (await self.until("session.created"))[-1]["session"]
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._socket.close()

    async def send(self, kind: str, **content: Any) -> None:
        """Send an event. Raises ServerError if the server has ended the session."""
        try:
            await self._socket.send(json.dumps({"type": kind, **content}))
        except websockets.ConnectionClosed as closed:
            raise _ended(closed) from None

    async def next(self) -> dict[str, Any]:
        """The next event. Raises ServerError if the server ends the session, or sends something else."""
        try:
            event = json.loads(await self._socket.recv())
            return event | {"type": BETA.get(event["type"], event["type"])}
        except websockets.ConnectionClosed as closed:
            raise _ended(closed) from None
        except (ValueError, KeyError, TypeError):
            raise ServerError("the server sends what is no event of the Realtime protocol") from None

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await self.next()

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All events up to the first of a kind. Raises ServerError for an error before it."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["type"] != kind:
            found.append(await self.next())
            if found[-1]["type"] == "error" and kind != "error":
                raise ServerError(found[-1]["error"]["message"], found[-1]["error"]["code"])
        return found

    async def configure(self, **session: Any) -> None:
        await self.send("session.update", session={"type": "realtime", **session})

    async def type(self, text: str) -> None:
        """Send a typed turn and ask for an answer."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.send("conversation.item.create", item=item)
        await self.send("response.create")

    async def speak(self, samples: np.ndarray, paced: bool = True) -> None:
        """Samples (S,) in [-1, 1] at 24 kHz; paced: at the speed of speech, and return at their end."""
        size, begin_s = round(PIECE_S * HZ), time.monotonic()
        for at in range(0, len(samples), size):
            await self.send("input_audio_buffer.append", audio=encode(samples[at : at + size]))
            if paced:
                await asyncio.sleep(begin_s + min(at + size, len(samples)) / HZ - time.monotonic())


def _ended(closed: websockets.ConnectionClosed) -> ServerError:
    reason = closed.rcvd.reason if closed.rcvd else "the connection was lost"
    return ServerError(reason or "the server has ended the session")


def address(url: str) -> str:
    """The address of the protocol's WebSocket: `/v1/realtime` is added to that of a server."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith("/realtime") else f"{path}/v1/realtime"))


def encode(samples: np.ndarray) -> str:
    """Samples in [-1, 1] to base64 of 16 bits."""
    return base64.b64encode((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()).decode("ascii")


def decode(text: str) -> np.ndarray:
    """The inverse of `encode`: (S,) float32."""
    return np.frombuffer(base64.b64decode(text), dtype="<i2").astype(np.float32) / 32768
