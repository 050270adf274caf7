"""The front's dispatcher over workers, each with a device, a model and its sessions, in a process of this machine or,
with Ray, of another (`server.replicas`).

A new session goes to the worker with most room. A worker that dies, or says nothing for `hang_s`, is started again, and
its sessions continue on whichever worker is ready, from their dialogue in text. A session that the model was working
for when its worker was lost works alone from then on; if it loses another worker so, it is ended. All methods are
called in the event loop, and none blocks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from freeze_omni.engine import worker as msg
from freeze_omni.engine.metrics import Report
from freeze_omni.engine.slot import Output
from freeze_omni.engine.worker import WorkerConfig, run_worker
from freeze_omni.server.outbox import Outbox
from freeze_omni.session.session import SessionConfig

START_S = 900.0  # for a worker to load its model and to measure how many sessions it can serve
WATCH_S = 0.5
NOT_READY = "no worker is ready; try again in a moment"
CLOSING = "the server is closing"
FULL = "the server is full"
LATE = "the server is late"
RESTARTS = 5  # a worker that never becomes ready is restarted this many times in a row


class Full(RuntimeError):
    """No more sessions; says why."""

    @property
    def kind(self) -> str:
        """The reason without figures."""
        return str(self).split(":")[0]


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
    """The front's end of a worker.

    place: its number, which the worker that replaces it takes over. heard_s: when it last said something, by
    time.monotonic. working: sessions of the batch under way.
    """

    place: int
    config: WorkerConfig
    pipe: Connection
    body: Any
    outbox: Outbox
    clients: dict[str, Client] = field(default_factory=dict)
    ready: msg.Ready | None = None
    report: Report | None = None
    restarts: int = 0
    fault: str = ""
    heard_s: float = field(default_factory=time.monotonic)
    working: tuple[str, ...] = ()

    @property
    def load(self) -> float:
        """Sessions, as a share of those that are served in real time."""
        return len(self.clients) / self.ready.limit

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self.heard_s

    @property
    def node(self) -> str:
        """The address of its machine, if that may be another."""
        return getattr(self.body, "node", "")

    @property
    def leaving(self) -> bool:
        """Whether who started the worker takes it away as soon as its sessions have ended, or their time has."""
        return getattr(self.body, "leaving", False)

    @property
    def answers(self) -> bool:
        """Ready, to stay, and not silent for so long that it may hang."""
        return self.ready is not None and not self.leaving and self.silent_s < self.config.serving.hang_s / 2

    def open(self, client: Client, config: SessionConfig, alone: bool = False) -> None:
        """Begin a session. Raises Full as `send`."""
        self.clients[client.key] = client
        self.send(client, msg.Open(client.key, config, alone))

    def send(self, client: Client, message: Any) -> None:
        """Raises Full if too much of the client's waits for the worker."""
        if not self.outbox.put(message, client.key):
            raise Full("the worker takes no more messages of this session")

    def kill(self) -> None:
        """A worker that is a thread cannot be killed; nobody listens to it any more."""
        if hasattr(self.body, "kill"):
            self.body.kill()


class Router:
    """Dispatches sessions to workers. `start` makes a worker at the other end of a pipe.

    draining: no new sessions, while those that are open go on. refusals: by reason; closed: connections by error code.
    """

    def __init__(self, configs: list[WorkerConfig], start: Start = start_process) -> None:
        self._configs, self._start = configs, start
        self.handles: list[WorkerHandle] = []
        self.refusals = dict.fromkeys((CLOSING, NOT_READY, FULL, LATE), 0)
        self.closed: Counter[str] = Counter()
        self.admitted = self.lost_workers = 0
        self.draining = self.closing = False
        self._homeless: list[Client] = []
        self._struck: set[str] = set()  # keys of sessions that the model was working for when their worker was lost
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0  # workers that are being started

    async def open(self) -> None:
        """Start the workers and wait until one is ready. Raises Unready."""
        self._loop = asyncio.get_running_loop()
        self._fault, self._starting = "", len(self._configs)
        await asyncio.gather(*(self._begin(place) for place in range(len(self._configs))))
        while not self._ready:
            if not self.handles and not self._starting:
                raise Unready(self._fault or "no worker came up")
            self._changed.clear()
            await self._changed.wait()
        self._later(self._watch())

    async def close(self) -> None:
        self.draining = self.closing = True
        for task in self._tasks:
            task.cancel()
        for handle in self.handles:
            handle.outbox.put(msg.Stop())
        await asyncio.gather(*(asyncio.to_thread(handle.body.join, 5) for handle in self.handles))
        for handle in self.handles:
            handle.kill()

    @property
    def sessions(self) -> int:
        return sum(len(handle.clients) for handle in self.handles) + len(self._homeless)

    @property
    def limit(self) -> int:
        return sum(handle.ready.limit for handle in self._ready)

    @property
    def up(self) -> bool:
        """Whether sessions are taken at all, if there is room."""
        return not self.draining and any(handle.answers for handle in self.handles)

    @property
    def unready(self) -> str:
        """Why no session would be admitted now, or an empty text."""
        try:
            self._roomiest()
        except Full as error:
            return error.kind
        return ""

    def facts(self) -> msg.Ready:
        """What a worker says of its model. Raises Full, and counts it, while sessions are not taken at all."""
        if not self.up:
            raise self._refused(self._down())
        return self._ready[0].ready

    def admit(self, client: Client, config: SessionConfig) -> None:
        """Begin a session at the worker with most room. Raises Full."""
        try:
            handle = self._roomiest()
        except Full as error:
            raise self._refused(error) from None
        self.admitted += 1
        handle.open(client, config)

    def put(self, client: Client, item: Any) -> None:
        """Put audio, an event or a configuration into the session. Raises Full."""
        if handle := self._handle_of(client):
            handle.send(client, msg.Put(client.key, item))

    def release(self, client: Client) -> None:
        if client in self._homeless:
            self._homeless.remove(client)
        self._struck.discard(client.key)
        if handle := self._handle_of(client):
            del handle.clients[client.key]
            handle.outbox.put(msg.Close(client.key))

    @property
    def _ready(self) -> list[WorkerHandle]:
        return [handle for handle in self.handles if handle.ready and not handle.leaving]

    def _roomiest(self) -> WorkerHandle:
        if not self.up:
            raise self._down()
        handle = min((one for one in self.handles if one.answers), key=lambda one: one.load)
        if handle.load >= 1:
            raise Full(f"{FULL}: {self.sessions} sessions, which is what it serves in real time")
        late_ms = 1000 * handle.report.late_s if handle.report else 0
        if handle.clients and late_ms > handle.config.serving.late_ms:
            raise Full(f"{LATE}: a step takes {late_ms:.0f} ms; a session more would make all late")
        return handle

    def _down(self) -> Full:
        return Full(CLOSING if self.draining else NOT_READY)

    def _refused(self, error: Full) -> Full:
        self.refusals[error.kind] += 1
        return error

    def _handle_of(self, client: Client) -> WorkerHandle | None:
        return next((handle for handle in self.handles if handle.clients.get(client.key) is client), None)

    async def _begin(self, place: int, restarts: int = 0) -> None:
        """Start a worker; the process is started in a thread, as that takes a moment."""
        config = self._configs[place]
        try:
            await asyncio.sleep(restarts)
            here, there = multiprocessing.Pipe()
            body = await asyncio.to_thread(self._start, config, there)
        except OSError as error:  # such as no memory for another process
            self._starting -= 1
            self._fault = f"a worker on {config.device} cannot be started: {error}"
            logging.error("%s", self._fault)
            return self._restart(place, restarts)
        self._starting -= 1
        outbox = Outbox(config.serving.max_waiting_events)
        handle = WorkerHandle(place, config, here, body, outbox, restarts=restarts)
        self.handles.append(handle)
        for work in (self._sends, self._receives):
            threading.Thread(target=work, args=(handle,), daemon=True).start()

    def _restart(self, place: int, restarts: int) -> None:
        """Try once more, or give up what no worker is left for."""
        if restarts < RESTARTS:
            self._starting += 1
            self._later(self._begin(place, restarts + 1))
        elif not self.handles and not self._starting:
            self._changed.set()
            for client in self._homeless:
                client.failed("its worker was lost, and no other is left")
            self._homeless.clear()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        """A worker that says nothing for too long hangs: it reports every second while it works."""
        while True:
            begin_s = time.monotonic()
            await asyncio.sleep(WATCH_S)
            if time.monotonic() - begin_s > 3 * WATCH_S:
                continue  # it was the front that was held up
            for handle in list(self.handles):
                if handle.leaving and not handle.clients:
                    handle.outbox.put(msg.Stop())
                elif handle.silent_s > (handle.config.serving.hang_s if handle.ready else START_S):
                    logging.error("worker on %s says nothing for %.0f s", handle.config.device, handle.silent_s)
                    handle.kill()
                    self._lose(handle)

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
                handle.heard_s = time.monotonic()
                handle.working = message.keys if isinstance(message, msg.Working) else ()
                if not handle.working:
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
                if len(self.handles) > 1:  # else `open` reports it
                    logging.error("worker on %s: %s", handle.config.device, reason)

    def _lose(self, handle: WorkerHandle) -> None:
        if handle not in self.handles:
            return
        self.handles.remove(handle)
        handle.outbox.put(msg.Stop())
        self._changed.set()
        if self.closing:
            return
        if not handle.fault and (handle.clients or not handle.leaving):
            self.lost_workers += 1
            logging.error("worker on %s is gone with %d sessions", handle.config.device, len(handle.clients))
        clients, handle.clients = handle.clients, {}
        self._strike(clients, handle.working)
        self._homeless += clients.values()
        self._restart(handle.place, RESTARTS if handle.fault else -1 if handle.ready else handle.restarts)
        self._house()

    def _strike(self, clients: dict[str, Client], working: tuple[str, ...]) -> None:
        """End the sessions among `clients` that were worked for when a worker was lost, and were so once before."""
        for key in working:
            if key in self._struck and key in clients:
                logging.error("session %s ends: two workers were lost while they worked for it", key)
                clients.pop(key).failed("two workers were lost while they worked for this session")
            elif key in clients:
                self._struck.add(key)

    def _house(self) -> None:
        """Give sessions without a worker to one that is ready."""
        for client in list(self._homeless):
            if not self._ready:
                return
            self._homeless.remove(client)
            handle = min(self._ready, key=lambda handle: handle.load)
            try:
                config, items = client.lost()
                handle.open(client, config, client.key in self._struck)
                for item in items:
                    handle.send(client, msg.Put(client.key, item))
            except Exception as error:  # of this session; the others are housed all the same
                logging.exception("session %s cannot go on", client.key)
                self.release(client)
                client.failed(str(error) or "a fault of the server has ended this session")
