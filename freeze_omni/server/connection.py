"""One WebSocket, a client of the router: reads, writes, and ends when the client passes a limit."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from freeze_omni.engine.slot import Output
from freeze_omni.server.config import Limits
from freeze_omni.server.protocol import AudioSpent, Item, RealtimeProtocol
from freeze_omni.server.router import Full, Router
from freeze_omni.server.wire import PIECE_CHARS, RequestError, parse
from freeze_omni.session.session import SessionConfig

POLICY, INTERNAL, TRY_LATER, GOING_AWAY = 1008, 1011, 1013, 1001
"""Codes of RFC 6455 with which a connection is closed."""


class Bucket:
    """An allowance that grows by `per_s` up to `most`."""

    def __init__(self, per_s: float, most: float) -> None:
        self._per_s, self._most, self._left, self._seen_s = per_s, most, most, time.monotonic()

    def take(self, amount: float) -> bool:
        """Whether that much was left."""
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._seen_s) * self._per_s, self._most) - amount
        self._seen_s = now_s
        return self._left >= 0


class Connection:
    """Serves one client to its end."""

    def __init__(self, socket: WebSocket, router: Router, protocol: RealtimeProtocol, limits: Limits) -> None:
        self.key = protocol.key
        self._socket, self._router, self._protocol, self._limits = socket, router, protocol, limits
        self._out: asyncio.Queue[str] = asyncio.Queue(limits.waiting_events)
        self._waiting_bytes = 0
        self._end: asyncio.Future[tuple[int, str, str]] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Until the client leaves, or passes a limit."""
        tasks = [asyncio.create_task(work) for work in (self._write(), self._read())]
        try:
            self._router.admit(self, self._protocol.config)
            self._flush()
            done, _ = await asyncio.wait(
                [*tasks, self._end], timeout=self._limits.session_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                self.close(POLICY, f"a session lasts at most {self._limits.session_s:.0f} s", "session_expired")
        except Full as error:
            self.close(TRY_LATER, str(error), "server_full")
        finally:
            self._router.release(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._part()

    def close(self, code: int, reason: str, kind: str) -> None:
        """End the connection; the first reason counts."""
        if not self._end.done():
            self._router.closed[kind] += 1
            self._end.set_result((code, reason, kind))

    # as a client of the router

    def did(self, outputs: list[Output]) -> None:
        self._pass_on(self._protocol.from_worker, outputs)

    def failed(self, reason: str) -> None:
        self.close(POLICY, reason, "session_failed")

    def lost(self) -> tuple[SessionConfig, list[Item]]:
        items = self._protocol.rebuilt()
        self._flush()
        return self._protocol.config, items

    async def _read(self) -> None:
        limits = self._limits
        messages = Bucket(limits.messages_s, limits.messages_s * limits.burst_s)
        size = Bucket(limits.bytes_s, limits.message_bytes + limits.bytes_s * limits.burst_s)
        while True:
            try:
                message = await asyncio.wait_for(self._socket.receive(), limits.idle_s)
            except TimeoutError:
                return self.close(POLICY, f"nothing was sent for {limits.idle_s:.0f} s", "idle_timeout")
            if message["type"] == "websocket.disconnect":
                return
            content = message.get("text") or message.get("bytes") or ""
            if not messages.take(1):
                return self.close(POLICY, f"more than {limits.messages_s:.0f} messages a second", "rate_limit")
            if not size.take(len(content)):
                return self.close(POLICY, f"more than {limits.bytes_s:.0f} bytes a second", "rate_limit")
            await self._take(message.get("text"))

    async def _take(self, message: str | None) -> None:
        try:
            event = parse(message)
        except RequestError as error:
            self._protocol.error(str(error), error.code)
            return self._flush()
        for number, piece in enumerate(_pieces(event)):
            if number:
                await asyncio.sleep(0)  # other clients' turn
            self._pass_on(self._protocol.from_client, piece)
            if self._protocol.refused or self._end.done():
                return

    def _pass_on(self, step: Callable[[Any], list[Item]], what: Any) -> None:
        """A step of the protocol: its items go into the session, its events to the client."""
        try:
            for item in step(what):
                self._router.put(self, item)
        except AudioSpent as error:
            self.close(POLICY, str(error), "audio_limit")
        except Full as error:
            self.close(TRY_LATER, str(error), "server_busy")
        except Exception:  # a fault of the server ends this session only
            logging.exception("session %s ends by a fault of the server", self.key)
            self.close(INTERNAL, "a fault of the server has ended this session", "server_fault")
        self._flush()

    def _flush(self) -> None:
        for event in self._protocol.take():
            text = json.dumps(event, ensure_ascii=False)
            self._waiting_bytes += len(text)
            if self._out.full() or self._waiting_bytes > self._limits.waiting_bytes:
                return self.close(POLICY, "the client does not take its events", "slow_client")
            self._out.put_nowait(text)

    async def _write(self) -> None:
        while True:
            text = await self._out.get()
            await self._socket.send_text(text)
            self._waiting_bytes -= len(text)

    async def _part(self) -> None:
        """Say why, if the server has ended it."""
        if not self._end.done() or self._socket.client_state is not WebSocketState.CONNECTED:
            return
        code, reason, kind = self._end.result()
        self._protocol.error(reason, kind, "server_error" if code == TRY_LATER else "limit_error")
        try:
            async with asyncio.timeout(2):
                for event in self._protocol.take()[-1:]:
                    await self._socket.send_text(json.dumps(event))
                await self._socket.close(code, reason[:120])
        except (TimeoutError, RuntimeError, WebSocketDisconnect, OSError):
            pass


def _pieces(event: Any) -> Iterator[Any]:
    """The event; one with long audio, such as a whole file, as several."""
    audio = event.get("audio") if isinstance(event, dict) else None
    if not isinstance(audio, str) or len(audio) <= PIECE_CHARS or event.get("type") != "input_audio_buffer.append":
        yield event
        return
    for at in range(0, len(audio), PIECE_CHARS):
        yield {**event, "audio": audio[at : at + PIECE_CHARS]}
