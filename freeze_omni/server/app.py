"""The ASGI application, and uvicorn to run it: /v1/realtime, /v1/models, the page, and what watches it.

/livez: the event loop answers; else start the process again. /readyz: a session more would be admitted. /health: a
worker is up and the server does not close; sessions and their limit. /metrics: for Prometheus.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from freeze_omni.engine.worker import WorkerConfig, threads_each
from freeze_omni.server.config import ServerConfig
from freeze_omni.server.connection import GOING_AWAY, Connection
from freeze_omni.server.door import HostCheck, Hosts, http_protocol, refusal
from freeze_omni.server.exposition import registry
from freeze_omni.server.protocol import RealtimeProtocol
from freeze_omni.server.router import CLOSING, Full, Router

PAGE = Path(__file__).parent / "page"
PAGE_FILES = ("", "page.js", "audio.js", "timeline.js", "worklet.js", "page.css")
KEY_PROTOCOL = "openai-insecure-api-key."


class Server:
    """The routes of `application`; the router must be open before it runs."""

    def __init__(self, config: ServerConfig, router: Router) -> None:
        self.config, self.router = config, router
        self.connections: set[Connection] = set()
        self._registry = registry(router)
        self.application = Starlette(
            routes=[
                WebSocketRoute("/v1/realtime", self._realtime),
                Route("/v1/models", self._models),
                Route("/livez", self._live),
                Route("/readyz", self._ready),
                Route("/health", self._health),
                Route("/health/ready", self._health),
                Route("/health/live", self._live),
                Route("/metrics", self._metrics),
                *(Route(f"/{name}", self._page) for name in PAGE_FILES),
            ],
            middleware=[Middleware(HostCheck, hosts=Hosts(config))],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.router.close()

    async def drain(self, forced: Callable[[], bool]) -> None:
        """No new sessions; the open ones get `close_s` to end, or until it is `forced`; then they are closed."""
        self.router.draining = True
        if self.connections:
            logging.info("closing: %d sessions have %.0f s to end", len(self.connections), self.config.close_s)
        end_s = time.monotonic() + self.config.close_s
        while self.connections and time.monotonic() < end_s and not forced():
            await asyncio.sleep(0.1)
        if not self.connections:
            return
        for connection in list(self.connections):
            connection.close(GOING_AWAY, CLOSING, "server_closing")
        await asyncio.sleep(0.2)

    async def _realtime(self, socket: WebSocket) -> None:
        if not self._may(socket):
            return await socket.send_denial_response(_WRONG_KEY)
        if not self.config.api_key and not _same_origin(socket):
            text = "Pages of other sites may not use this server without an API key."
            return await socket.send_denial_response(refusal(text, "wrong_origin", 403))
        if socket.query_params.get("intent", "conversation") != "conversation":
            text = "Only sessions of type 'realtime' are made here; they transcribe what they hear."
            return await socket.send_denial_response(refusal(text, "invalid_value", 400))
        try:
            facts = self.router.facts()
        except Full as error:  # a status by which a proxy tries another server
            return await socket.send_denial_response(refusal(str(error), "server_unavailable", 503))
        offered = socket.headers.get("sec-websocket-protocol", "")
        await socket.accept("realtime" if "realtime" in [part.strip() for part in offered.split(",")] else None)
        name = socket.query_params.get("model", self.config.model.name)[:100]
        prompt, limits = facts.facts["system_prompt"], self.config.limits
        protocol = RealtimeProtocol(name, prompt, facts.facts["longest_answer"], facts.rates, limits)
        connection = Connection(socket, self.router, protocol, limits)
        self.connections.add(connection)
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)

    def _may(self, connection: HTTPConnection) -> bool:
        """Whether the client has shown the key, by header or (a browser's WebSocket) as a subprotocol."""
        if not self.config.api_key:
            return True
        offered = connection.headers.get("sec-websocket-protocol", "").split(",")
        shown = [part.strip().removeprefix(KEY_PROTOCOL) for part in offered if part.strip().startswith(KEY_PROTOCOL)]
        shown.append(connection.headers.get("authorization", "").removeprefix("Bearer "))
        return any(hmac.compare_digest(key.encode(), self.config.api_key.encode()) for key in shown)

    async def _models(self, request: Request) -> Response:
        if not self._may(request):
            return _WRONG_KEY
        entry = {"id": self.config.model.name, "object": "model", "owned_by": "freeze-omni"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def _live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        reason = self.router.unready
        return JSONResponse({"status": reason or "ok"}, 503 if reason else 200)

    async def _health(self, request: Request) -> Response:
        router = self.router
        state = {
            "status": "ok" if router.up else "unavailable",
            "sessions": router.sessions,
            "session_limit": router.limit,
            "workers": sum(handle.answers for handle in router.handles),
            "api_key": bool(self.config.api_key),
        }
        return JSONResponse(state, 200 if router.up else 503)

    async def _metrics(self, request: Request) -> Response:
        if not self._may(request):
            return _WRONG_KEY
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE)

    async def _page(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/") or "index.html"
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})


class GracefulServer(uvicorn.Server):
    """Like uvicorn's, but it starts the workers first and drains sessions before it cuts connections."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Workers first. Raises Unready for a model that cannot be loaded, which uvicorn would show as a traceback."""
        await self._server.router.open()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        await self._server.drain(lambda: self.force_exit)
        await super().shutdown(sockets)


def make(config: ServerConfig, router: Router | None = None, log_level: str = "info") -> GracefulServer:
    """The server, ready to `run`. router: None makes one of processes."""
    threads = threads_each(config.threads, len(config.devices))
    workers = [
        WorkerConfig(config.model, config.serving, device, threads, config.record, config.llm_gguf)
        for device in config.devices
    ]
    server = Server(config, router or Router(workers))
    settings = uvicorn.Config(
        server.application,
        host=config.host,
        port=config.port,
        log_level=log_level,
        access_log=False,
        http=http_protocol(config.limits),
        ws_max_size=config.limits.message_bytes,
        ws_ping_interval=20.0,
        lifespan="on",
        ssl_certfile=config.tls_cert,
        ssl_keyfile=config.tls_key,
    )
    return GracefulServer(settings, server)


def _same_origin(socket: WebSocket) -> bool:
    """A browser names the site whose page connects: else any site's page could use a server on this machine."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


_WRONG_KEY = refusal("Wrong API key.", "invalid_api_key", 401)
