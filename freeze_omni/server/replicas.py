"""Workers beyond this machine: replicas of a Ray Serve deployment, one for each device of a Ray cluster.

Ray Serve places the replicas, checks their health, replaces those that are lost and takes them away. Sessions and their
text stay with the front: to the router a replica is a worker like any other, at the other end of a pipe. The front
holds one request at each replica for as long as it uses it, so a replica serves one front, and Serve takes none away
before its sessions have ended or `close_s` has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import ray
from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.handle import DeploymentHandle

from freeze_omni.config import ConfigError
from freeze_omni.engine.worker import Worker, WorkerConfig, Working, load_worker
from freeze_omni.server.config import ServerConfig
from freeze_omni.server.router import Router

HEALTH_S = 2.0  # between two questions whether a replica is well, and which of them Serve keeps


class Replica:
    """A process of the cluster that runs a worker for the front that asks for it."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._hang_s, self._taken = 0.0, False

    def name(self) -> str:
        """Serve asks only the replicas that it keeps."""
        return serve.get_replica_context().replica_id.unique_id

    def check_health(self) -> None:
        """Raises RuntimeError if the worker hangs: Serve then starts another replica."""
        ticked_s = self._worker.ticked_s if self._worker else None
        if ticked_s is not None and time.monotonic() - ticked_s > self._hang_s:
            raise RuntimeError(f"the worker has done nothing for {self._hang_s:.0f} s")

    async def work(self, config: WorkerConfig, secret: bytes) -> AsyncIterator[tuple[str, Any] | None]:
        """Its name and where the front reaches it, at once; then it works until the front stops it or is gone. None if
        another front has it."""
        if self._taken:
            yield None
            return
        self._taken = True
        try:
            with Listener((ray.util.get_node_ip_address(), 0), authkey=secret) as listener:
                yield self.name(), listener.address
                pipe = await asyncio.to_thread(listener.accept)
            _send_at_once(pipe)
            await asyncio.to_thread(self._run, config, pipe)
        finally:
            self._taken = False

    def _run(self, config: WorkerConfig, pipe: Connection) -> None:
        """As a process of the local pool: a fault ends it, as it may have left the device unusable."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s worker: %(message)s")
        try:
            with contextlib.closing(pipe):
                self._worker, self._hang_s = load_worker(config, pipe), config.serving.hang_s
                if self._worker:
                    self._worker.run()
        except BaseException:
            logging.exception("the worker ends by a fault")
            os._exit(1)
        finally:
            self._worker = None


class Link(threading.Thread):
    """Carries messages between the router's pipe and a replica. For the router it is what a process is.

    replica, node: the name and the address of the one that it has got, empty before. leaving: Serve takes it away.
    """

    def __init__(self, handle: DeploymentHandle, config: WorkerConfig, pipe: Connection) -> None:
        super().__init__(daemon=True)
        self.replica, self.node, self.leaving = "", "", False
        self._handle, self._config, self._pipe = handle, config, pipe
        self._request: Any = None  # kept: Serve cancels what nobody waits for
        self._left, self._telling = threading.Event(), threading.Lock()
        self._line: Connection | None = None

    def run(self) -> None:
        secret = secrets.token_bytes(32)
        try:
            name, address = self._free(secret)
            self._line = Client(tuple(address), authkey=secret)
            _send_at_once(self._line)
            with self._telling:
                self.replica, self.node = name, address[0]
            logging.info("a worker is replica %s at %s", name, self.node)
            threading.Thread(target=_carry, args=(self._pipe, self._line), daemon=True).start()
            _carry(self._line, self._pipe)
        except Exception as error:  # of Ray or of the network: the router starts another
            logging.error("no replica: %s", error)
        finally:
            self.kill()
            _shut(self._pipe, socket.SHUT_WR)  # the router sees the end, and its last message ends the other thread

    def _free(self, secret: bytes) -> tuple[str, Any]:
        """Wait until there is a replica that no front uses. Raises ConnectionError if the link is killed meanwhile."""
        while not self._left.is_set():
            self._request = self._handle.work.remote(self._config, secret)
            if found := next(self._request):
                return found
            self._left.wait(HEALTH_S)
        raise ConnectionError("nobody waits for it any more")

    def still_waits(self) -> None:
        """Until there is a replica, the router hears that it is not lost: a device may be free in an hour."""
        with self._telling, contextlib.suppress(OSError):
            if not self.replica and self.is_alive():
                self._pipe.send(Working(()))

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the replica's work, and no longer for a replica."""
        if not self.replica:
            self.kill()
        super().join(timeout)

    def kill(self) -> None:
        """Leave the replica; one that hangs is ended by Serve."""
        self._left.set()
        if self._line is not None:
            _shut(self._line, socket.SHUT_RDWR)
        elif self._request is not None:
            self._request.cancel()


class Replicas:
    """Starts the router's workers as replicas of a deployment, and marks those that Serve takes away."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle, self._links, self._ended = handle, list[Link](), threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __call__(self, config: WorkerConfig, pipe: Connection) -> Link:
        link = Link(self._handle.options(stream=True), config, pipe)
        self._links.append(link)
        link.start()
        return link

    def close(self) -> None:
        """Leave all replicas. What still asks Ray when that is shut down never hears, and the process would not end."""
        self._ended.set()
        for link in self._links:
            link.kill()
        for thread in (*self._links, self._watcher):
            thread.join(3 * HEALTH_S)

    def _watch(self) -> None:
        while not self._ended.wait(HEALTH_S):
            self._links = [link for link in self._links if link.is_alive()]
            for link in self._links:
                link.still_waits()
            with contextlib.suppress(Exception):  # whatever Ray raises: it is asked again
                self._mark(self._handle.broadcast("name").results(timeout_s=HEALTH_S))

    def _mark(self, kept: list[str]) -> None:
        for link in self._links:
            link.leaving = bool(link.replica) and link.replica not in kept


def _carry(source: Connection, sink: Connection) -> None:
    """Messages as they are, until an end is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            sink.send_bytes(source.recv_bytes())


def _shut(pipe: Connection, how: int) -> None:
    """Tell the other end; closing it here could give its number to another file while a thread still reads."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as same:
        same.shutdown(how)


def _send_at_once(line: Connection) -> None:
    """Small messages do not wait for others."""
    with socket.socket(fileno=os.dup(line.fileno())) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextlib.contextmanager
def deployed(config: ServerConfig, address: str = "auto", app: str = "freeze-omni", count: int = 0) -> Iterator[Router]:
    """A router over replicas, which end with it.

    address: of the Ray cluster; `auto` for the one of this machine. app: the name of Serve's application; servers that
    run beside each other have different ones. count: of replicas; 0 for one on each GPU, or for `cpu` on each node.

    Raises ConfigError without a cluster, or for devices that it does not have.
    """
    if len(config.devices) != 1:
        raise ConfigError("--engine ray takes one kind of device, --devices cpu or --devices cuda; see --replicas")
    (device,) = config.devices
    before = signal.getsignal(signal.SIGTERM)
    try:
        host, _, port = address.rpartition(":")
        if host:  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, logging_level="WARNING")
    except (OSError, ValueError) as error:
        text = f"no Ray cluster at {address}: {error}; start one by `ray start --head`, or give --ray_address"
        raise ConfigError(text) from None
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # Ray's own ends the process before its replicas
        count = count or _devices(device)
        replicas = Replicas(deploy(config, app, count))
        logging.info("Ray Serve starts %d replicas of the application %s, on %s", count, app, device)
        folder = config.model.resolve() if config.model.exists() else config.model  # replicas work in another folder
        record, gguf = config.record and config.record.resolve(), config.llm_gguf and config.llm_gguf.resolve()
        worker = WorkerConfig(folder, config.serving, device, config.threads, record, gguf)
        try:
            yield Router([worker] * count, replicas)
        finally:
            replicas.close()
            serve.delete(app, _blocking=False)
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def deploy(config: ServerConfig, app: str, count: int) -> DeploymentHandle:
    """Have Serve make so many replicas, or replace those that the application has; does not wait for them."""
    on_gpu = config.devices[0] != "cpu"
    replica = serve.deployment(
        name="Replica",
        num_replicas=count,
        max_replicas_per_node=None if on_gpu else 1,
        max_ongoing_requests=4,  # `work`, and short questions beside it
        graceful_shutdown_timeout_s=config.close_s,
        health_check_period_s=HEALTH_S,
        logging_config={"enable_access_log": False},  # it would have a line for each question which replicas stay
        health_check_timeout_s=config.serving.hang_s,
        ray_actor_options={"num_cpus": max(1, config.threads), "num_gpus": int(on_gpu)},
    )(Replica)
    serve.start(proxy_location=ProxyLocation.Disabled)  # clients come through the front
    target = serve.RunTarget(target=replica.bind(), name=app, route_prefix=None)
    (handle,) = serve.run_many([target], wait_for_applications_running=False)
    return handle


def _devices(device: str) -> int:
    """How many the cluster has. Raises ConfigError for none."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    count = sum("CPU" in node for node in nodes) if device == "cpu" else int(sum(node.get("GPU", 0) for node in nodes))
    if not count:
        raise ConfigError(f"--devices {device}: the Ray cluster has none ({len(nodes)} nodes)")
    return count
