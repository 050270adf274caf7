"""One WebSocket, a client of the router: reads, writes, and ends when the client passes a limit."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from freeze_omni.engine.slot import Output
from freeze_omni.server.config import Limits
from freeze_omni.server.protocol import AudioSpent, Item, RealtimeProtocol
from freeze_omni.server.router import Full, Router
from freeze_omni.session.session import SessionConfig

POLICY, INTERNAL, TRY_LATER, GOING_AWAY = 1008, 1011, 1013, 1001
"""Codes of RFC 6455 with which a connection is closed."""


class Connection:
    """Serves one client to its end."""

    def __init__(self, socket: WebSocket, router: Router, protocol: RealtimeProtocol, limits: Limits) -> None:
        self.key = protocol.key
        self._socket, self._router, self._protocol, self._limits = socket, router, protocol, limits
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue(limits.waiting_events)
        self._end: asyncio.Future[tuple[int, str, str]] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Until the client leaves, or passes a limit."""
        tasks = [asyncio.create_task(work) for work in (self._write(), self._read())]
        try:
            self._router.admit(self, self._protocol.config)
            self._flush()
            await asyncio.wait([*tasks, self._end], return_when=asyncio.FIRST_COMPLETED)
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
        allowance, seen_s = self._limits.messages_s * self._limits.burst_s, time.monotonic()
        while True:
            try:
                message = await asyncio.wait_for(self._socket.receive(), self._limits.idle_s)
            except TimeoutError:
                return self.close(POLICY, f"nothing was sent for {self._limits.idle_s:.0f} s", "idle_timeout")
            if message["type"] == "websocket.disconnect":
                return
            now_s = time.monotonic()
            allowance = min(allowance + (now_s - seen_s) * self._limits.messages_s, self._limits.messages_s * 5)
            allowance, seen_s = allowance - 1, now_s
            if allowance < 0:
                return self.close(POLICY, f"more than {self._limits.messages_s:.0f} messages a second", "rate_limit")
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        try:
            event = json.loads(message.get("text"))
        except TypeError:
            self._protocol.error("Events come as text, not as bytes.", "invalid_event")
        except (ValueError, RecursionError):
            self._protocol.error("The message is not JSON.", "invalid_json")
        else:
            return self._pass_on(self._protocol.from_client, event)
        self._flush()

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
            if self._out.full():
                return self.close(POLICY, "the client does not take its events", "slow_client")
            self._out.put_nowait(event)

    async def _write(self) -> None:
        while True:
            event = await self._out.get()
            await self._socket.send_text(json.dumps(event, ensure_ascii=False))

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
