"""The front's dispatcher over workers, each a process with a device, a model and its sessions.

A new session goes to the worker with most room. A worker that dies is started again, and its sessions continue on
whichever worker is ready, from their dialogue in text. All methods are called in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from freeze_omni.engine import worker as msg
from freeze_omni.engine.metrics import Report
from freeze_omni.engine.slot import Output
from freeze_omni.engine.worker import WorkerConfig, run_worker
from freeze_omni.session.session import SessionConfig

OUTBOX = 2000
NOT_READY = "no worker is ready; try again in a moment"
RESTARTS = 5  # a worker that never becomes ready is restarted this many times in a row


class Full(RuntimeError):
    """No more sessions; says why."""


class Unready(RuntimeError):
    """No worker could load its model; says why."""


class Client(Protocol):
    """What a session is for: the front's end of it, such as a `Connection`."""

    key: str

    def did(self, outputs: list[Output]) -> None: ...
    def failed(self, reason: str) -> None: ...
    def lost(self) -> tuple[SessionConfig, list[Any]]:
        """The worker is gone: the configuration to open a new session with, and what to put into it."""


Start = Callable[[WorkerConfig, Connection], Any]


def start_process(config: WorkerConfig, pipe: Connection) -> multiprocessing.Process:
    """A worker in its own process."""
    process = multiprocessing.get_context("spawn").Process(target=run_worker, args=(config, pipe), daemon=True)
    process.start()
    pipe.close()  # or the end of the worker would not be seen
    return process


@dataclass(eq=False)
class WorkerHandle:
    """The front's end of a worker."""

    config: WorkerConfig
    pipe: Connection
    body: Any
    outbox: queue.Queue = field(default_factory=lambda: queue.Queue(OUTBOX))
    clients: dict[str, Client] = field(default_factory=dict)
    ready: msg.Ready | None = None
    report: Report | None = None
    restarts: int = 0
    fault: str = ""

    @property
    def load(self) -> float:
        """Sessions, as a share of those that are served in real time."""
        return len(self.clients) / self.ready.limit

    def open(self, client: Client, config: SessionConfig) -> None:
        """Begin a session. Raises Full as `send`."""
        self.clients[client.key] = client
        self.send(msg.Open(client.key, config))

    def send(self, message: Any) -> None:
        """Raises Full if the worker no longer takes messages."""
        try:
            self.outbox.put_nowait(message)
        except queue.Full:
            raise Full("the worker takes no more messages") from None


class Router:
    """Dispatches sessions to workers. `start` makes a worker at the other end of a pipe."""

    def __init__(self, configs: list[WorkerConfig], start: Start = start_process) -> None:
        self._configs, self._start = configs, start
        self.handles: list[WorkerHandle] = []
        self.refusals: dict[str, int] = {}
        self.lost_workers = 0
        self.closing = False
        self._homeless: list[Client] = []
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Start the workers and wait until one is ready. Raises Unready."""
        self._loop = asyncio.get_running_loop()
        self._fault = ""
        for config in self._configs:
            self._begin(config)
        while not self._ready:
            if not self.handles:
                raise Unready(self._fault or "no worker came up")
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        self.closing = True
        for handle in self.handles:
            handle.outbox.put(msg.Stop())
        for handle in self.handles:
            await asyncio.to_thread(handle.body.join, 5)

    @property
    def sessions(self) -> int:
        return sum(len(handle.clients) for handle in self.handles) + len(self._homeless)

    @property
    def limit(self) -> int:
        return sum(handle.ready.limit for handle in self._ready)

    @property
    def facts(self) -> msg.Ready:
        """What a worker that is ready says of its model. Raises Full if none is."""
        if not self._ready:
            raise Full(NOT_READY)
        return self._ready[0].ready

    def admit(self, client: Client, config: SessionConfig) -> None:
        """Begin a session at the worker with most room. Raises Full."""
        try:
            handle = self._roomiest()
        except Full as error:
            reason = str(error).split(":")[0]
            self.refusals[reason] = self.refusals.get(reason, 0) + 1
            raise
        handle.open(client, config)

    def put(self, client: Client, item: Any) -> None:
        """Put audio, an event or a configuration into the session. Raises Full."""
        if handle := self._handle_of(client):
            handle.send(msg.Put(client.key, item))

    def release(self, client: Client) -> None:
        if client in self._homeless:
            self._homeless.remove(client)
        if handle := self._handle_of(client):
            del handle.clients[client.key]
            if not handle.outbox.full():
                handle.outbox.put(msg.Close(client.key))
            elif hasattr(handle.body, "kill"):
                # a worker that takes no messages: its end of the pipe goes with it. Ours stays open for the threads
                # that read and write it: a closed handle could be that of another file by then.
                handle.body.kill()

    @property
    def _ready(self) -> list[WorkerHandle]:
        return [handle for handle in self.handles if handle.ready]

    def _roomiest(self) -> WorkerHandle:
        ready = self._ready
        if self.closing or not ready:
            raise Full("the server is closing" if self.closing else NOT_READY)
        handle = min(ready, key=lambda handle: handle.load)
        if handle.load >= 1:
            raise Full(f"the server is full: {self.sessions} sessions, which is what it serves in real time")
        late_ms = 1000 * handle.report.late_s if handle.report else 0
        if handle.clients and late_ms > handle.config.serving.late_ms:
            raise Full(f"the server is late: a step takes {late_ms:.0f} ms; a session more would make all late")
        return handle

    def _handle_of(self, client: Client) -> WorkerHandle | None:
        return next((handle for handle in self.handles if handle.clients.get(client.key) is client), None)

    def _begin(self, config: WorkerConfig, restarts: int = 0) -> None:
        here, there = multiprocessing.Pipe()
        handle = WorkerHandle(config, here, self._start(config, there), restarts=restarts)
        self.handles.append(handle)
        for work in (self._sends, self._receives):
            threading.Thread(target=work, args=(handle,), daemon=True).start()

    def _sends(self, handle: WorkerHandle) -> None:
        """In a thread: a busy worker must not hold up the event loop."""
        message = None
        with contextlib.suppress(OSError):
            while not isinstance(message, msg.Stop):
                message = handle.outbox.get()
                handle.pipe.send(message)

    def _receives(self, handle: WorkerHandle) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = handle.pipe.recv()
                self._loop.call_soon_threadsafe(self._take, handle, message)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lose, handle)

    def _take(self, handle: WorkerHandle, message: Any) -> None:
        match message:
            case msg.Did(key, outputs) if key in handle.clients:
                handle.clients[key].did(outputs)
            case msg.Failed(key, reason) if key in handle.clients:
                handle.clients.pop(key).failed(reason)
            case msg.Measured(report):
                handle.report = report
            case msg.Ready():
                handle.ready = message
                logging.info("worker on %s ready: %d sessions in real time", handle.config.device, message.limit)
                self._changed.set()
                self._house()
            case msg.Unusable(reason):
                self._fault = handle.fault = reason
                handle.restarts = RESTARTS  # the next try would fail, too
                if len(self.handles) > 1:  # else `open` reports it
                    logging.error("worker on %s: %s", handle.config.device, reason)

    def _lose(self, handle: WorkerHandle) -> None:
        if handle not in self.handles:
            return
        self.handles.remove(handle)
        handle.outbox.put(msg.Stop()) if not handle.outbox.full() else None
        self._changed.set()
        if self.closing:
            return
        if not handle.fault:
            self.lost_workers += 1
            logging.error("worker on %s is gone with %d sessions", handle.config.device, len(handle.clients))
        self._homeless += handle.clients.values()
        if handle.restarts < RESTARTS:
            self._begin(handle.config, 0 if handle.ready else handle.restarts + 1)
        elif not self.handles:
            for client in self._homeless:
                client.failed("its worker was lost, and no other is left")
            self._homeless.clear()
        self._house()

    def _house(self) -> None:
        """Give sessions without a worker to one that is ready."""
        for client in list(self._homeless):
            if not self._ready:
                return
            self._homeless.remove(client)
            handle = min(self._ready, key=lambda handle: handle.load)
            config, items = client.lost()
            handle.open(client, config)
            for item in items:
                handle.send(msg.Put(client.key, item))
