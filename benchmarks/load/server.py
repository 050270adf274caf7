"""A server of worker processes, for the measuring clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import ConfigError
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.worker import WorkerConfig, threads_each
from freeze_omni.server.app import GracefulServer, make
from freeze_omni.server.config import Limits, ServerConfig
from freeze_omni.server.router import Router, Unready

START_S = 300


@dataclass(frozen=True)
class Served:
    """url: ws://... of a running server."""

    url: str
    router: Router
    thread: threading.Thread


@contextlib.asynccontextmanager
async def serving(
    model: Path,
    limits: Limits | None = None,
    workers: int = 1,
    threads: int = 0,
    max_sessions: int = 0,
    record: Path | None = None,
) -> AsyncIterator[Served]:
    """A server on a free port, with `workers` processes. limits: by default any number of connections of an address.

    Raises ConfigError for a model that cannot be loaded, RuntimeError if the server does not start otherwise.
    """
    serving_config = ServingConfig(max_sessions=max_sessions)
    worker = WorkerConfig(model, serving_config, threads=threads_each(threads, workers), record=record)
    limits = limits or Limits(connections=0)
    config = ServerConfig(model, port=0, limits=limits, serving=serving_config, close_s=1.0)
    async with running(config, Router([worker] * workers)) as served:
        yield served


@contextlib.asynccontextmanager
async def running(config: ServerConfig, router: Router) -> AsyncIterator[Served]:
    """A server over `router`'s workers; raises as `serving`."""
    server = make(config, router, log_level="warning")
    faults: list[str] = []
    thread = threading.Thread(target=_run, args=(server, faults), daemon=True)
    thread.start()
    try:
        for _ in range(START_S * 10):
            if server.started or not thread.is_alive():
                break
            await asyncio.sleep(0.1)
        if faults:
            raise ConfigError(faults[0])
        if not server.started:
            raise RuntimeError(f"{config.model}: the server does not come up")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"ws://127.0.0.1:{port}", router, thread)
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 60)


def _run(server: GracefulServer, faults: list[str]) -> None:
    """The main function of the server's thread."""
    try:
        server.run()
    except Unready as fault:
        faults.append(str(fault))
