"""Runs the server: uvicorn, with a shutdown that lets answers end."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from freeze_omni.engine.worker import WorkerConfig, threads_each
from freeze_omni.server.app import Server
from freeze_omni.server.config import ServerConfig
from freeze_omni.server.router import Router


class GracefulServer(uvicorn.Server):
    """uvicorn's, but workers come first, and sessions are drained before connections are cut."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Workers first. Raises Unready for a model that cannot be loaded: uvicorn would make a traceback of it."""
        await self._server.router.open()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._server.drain()
        await super().shutdown(sockets)


def make(config: ServerConfig, router: Router | None = None, log_level: str = "info") -> GracefulServer:
    """The server, ready to `run`. router: None makes one of processes."""
    threads = threads_each(config.threads, len(config.devices))
    workers = [WorkerConfig(config.model, config.serving, device, threads, config.record) for device in config.devices]
    server = Server(config, router or Router(workers))
    tls: dict[str, Any] = {}
    if config.tls_cert is not None:
        tls = {"ssl_certfile": str(config.tls_cert), "ssl_keyfile": str(config.tls_key)}
    settings = uvicorn.Config(
        server.application,
        host=config.host,
        port=config.port,
        log_level=log_level,
        access_log=False,
        ws_max_size=config.limits.message_bytes,
        ws_ping_interval=20.0,
        lifespan="on",
        **tls,
    )
    return GracefulServer(settings, server)
