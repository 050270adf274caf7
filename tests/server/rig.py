"""A whole server on a toy model, with its workers in threads of this process."""

from __future__ import annotations

import base64
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.worker import Worker, WorkerConfig
from freeze_omni.server.app import make
from freeze_omni.server.config import Limits, ServerConfig
from freeze_omni.server.router import Router


@contextmanager
def serving(model, **options):
    """A running server; gives its address (127.0.0.1:port) and the router."""
    with running(model, **options) as (server, router):
        yield address(server), router


@contextmanager
def running(model, max_sessions=4, api_key="", workers=1, limits=None, close_s=0.2, **serving_config):
    """The same; gives the server itself and the router."""

    def start(config, pipe):
        thread = threading.Thread(target=Worker(model, config.serving, pipe).run, daemon=True)
        thread.start()
        return thread

    serving_config = ServingConfig(max_sessions=max_sessions, late_ms=60_000, **{"hang_s": 300.0, **serving_config})
    worker = WorkerConfig(Path("toy"), serving_config)
    router = Router([worker] * workers, start)
    config = ServerConfig(
        Path("toy"), port=0, api_key=api_key, close_s=close_s, limits=limits or Limits(), serving=serving_config
    )
    server = make(config, router, log_level="warning")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server, router
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server does not stop"


def address(server, limit_s=30):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
            return f"127.0.0.1:{port}"
        time.sleep(0.05)
    raise AssertionError("the server does not start")


def pcm(samples):
    """Float samples to base64 of 16 bits."""
    return base64.b64encode((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()).decode()


def loud(seconds, seed=0, hz=24000):
    return 0.3 * np.random.default_rng(seed).standard_normal(int(seconds * hz))


def quiet(seconds, seed=0, hz=24000):
    return 1e-4 * np.random.default_rng(seed).standard_normal(int(seconds * hz))
