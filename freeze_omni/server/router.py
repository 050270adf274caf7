"""Workers behind one front: each a process with a device, a model and its sessions; which one takes a new session.

All methods are called in the event loop. A worker that dies is started again, and its sessions go on at whichever is
ready, from what their conversations say.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from freeze_omni.engine import worker as msg
from freeze_omni.engine.config import SessionConfig
from freeze_omni.engine.metrics import Report
from freeze_omni.engine.slot import Output
from freeze_omni.engine.worker import WorkerConfig, run_worker

OUTBOX = 2000
RESTARTS = 5
"""So often in a row a worker is started again that never became ready."""


class Full(RuntimeError):
    """No session more; says why."""


class Unready(RuntimeError):
    """No worker could load its model; says why."""


class User(Protocol):
    """Whoever a session is for."""

    key: str

    def did(self, outputs: list[Output]) -> None: ...

    def failed(self, reason: str) -> None: ...

    def lost(self) -> tuple[SessionConfig, list[Any]]:
        """The worker is gone: what a new one is to be opened with, and told."""
        ...


Start = Callable[[WorkerConfig, Connection], Any]


def start_process(config: WorkerConfig, pipe: Connection) -> multiprocessing.Process:
    """A worker in a process of its own."""
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
    users: dict[str, User] = field(default_factory=dict)
    ready: msg.Ready | None = None
    report: Report | None = None
    restarts: int = 0
    fault: str = ""

    def send(self, message: Any) -> None:
        """Raises Full where the worker has stopped taking messages."""
        try:
            self.outbox.put_nowait(message)
        except queue.Full:
            raise Full("the worker takes no more messages") from None


class Router:
    """See the head of this file. `start` makes a worker at the other end of a pipe."""

    def __init__(self, configs: list[WorkerConfig], start: Start = start_process) -> None:
        self._configs, self._start = configs, start
        self.handles: list[WorkerHandle] = []
        self.refusals: dict[str, int] = {}
        self.lost_workers = 0
        self.closing = False
        self._homeless: list[User] = []
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Start the workers and wait until one is ready. Raises Unready."""
        self._loop = asyncio.get_running_loop()
        self._fault = ""
        for config in self._configs:
            self._begin(config)
        while not any(handle.ready for handle in self.handles):
            if not self.handles:
                raise Unready(self._fault or "no worker came up")
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Stop the workers."""
        self.closing = True
        for handle in self.handles:
            handle.outbox.put(msg.Stop())
        for handle in self.handles:
            await asyncio.to_thread(handle.body.join, 5)

    @property
    def sessions(self) -> int:
        return sum(len(handle.users) for handle in self.handles) + len(self._homeless)

    @property
    def limit(self) -> int:
        return sum(handle.ready.limit for handle in self.handles if handle.ready)

    @property
    def facts(self) -> msg.Ready:
        """What a worker that is ready has told of its model. Raises Full where there is none."""
        for handle in self.handles:
            if handle.ready:
                return handle.ready
        raise Full("no worker is ready; try again in a moment")

    def admit(self, user: User, config: SessionConfig) -> None:
        """Give the session to the worker with most room. Raises Full."""
        try:
            handle = self._roomiest()
        except Full as error:
            reason = str(error).split(":")[0]
            self.refusals[reason] = self.refusals.get(reason, 0) + 1
            raise
        handle.users[user.key] = user
        handle.send(msg.Open(user.key, config))

    def put(self, user: User, item: Any) -> None:
        """Tell the session's worker. Raises Full."""
        handle = self._hand_of(user)
        if handle is not None:
            handle.send(msg.Put(user.key, item))

    def release(self, user: User) -> None:
        """The session is over."""
        if user in self._homeless:
            self._homeless.remove(user)
        handle = self._hand_of(user)
        if handle is not None:
            del handle.users[user.key]
            handle.outbox.put(msg.Close(user.key)) if not handle.outbox.full() else self._kill(handle)

    def _roomiest(self) -> WorkerHandle:
        ready = [handle for handle in self.handles if handle.ready]
        if self.closing or not ready:
            raise Full("the server is closing" if self.closing else "no worker is ready; try again in a moment")
        handle = min(ready, key=lambda handle: len(handle.users) / handle.ready.limit)
        if len(handle.users) >= handle.ready.limit:
            raise Full(f"the server is full: {self.sessions} sessions, which is what it serves in real time")
        late_ms = 1000 * handle.report.late_s if handle.report else 0
        if handle.users and late_ms > handle.config.serving.late_ms:
            raise Full(f"the server is late: a step takes {late_ms:.0f} ms; a session more would make all late")
        return handle

    def _hand_of(self, user: User) -> WorkerHandle | None:
        return next((handle for handle in self.handles if handle.users.get(user.key) is user), None)

    def _begin(self, config: WorkerConfig, restarts: int = 0) -> None:
        here, there = multiprocessing.Pipe()
        handle = WorkerHandle(config, here, self._start(config, there), restarts=restarts)
        there.close() if isinstance(handle.body, multiprocessing.process.BaseProcess) else None
        self.handles.append(handle)
        for work in (self._sends, self._receives):
            threading.Thread(target=work, args=(handle,), daemon=True).start()

    def _sends(self, handle: WorkerHandle) -> None:
        """A thread: a worker that is busy must not hold up the event loop."""
        try:
            while True:
                message = handle.outbox.get()
                handle.pipe.send(message)
                if isinstance(message, msg.Stop):
                    return
        except OSError:
            return

    def _receives(self, handle: WorkerHandle) -> None:
        """A thread."""
        try:
            while True:
                message = handle.pipe.recv()
                self._loop.call_soon_threadsafe(self._take, handle, message)
        except (EOFError, OSError):
            pass
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lose, handle)

    def _take(self, handle: WorkerHandle, message: Any) -> None:
        match message:
            case msg.Did(key, outputs) if key in handle.users:
                handle.users[key].did(outputs)
            case msg.Failed(key, reason) if key in handle.users:
                handle.users.pop(key).failed(reason)
            case msg.Measured(report):
                handle.report = report
            case msg.Ready():
                handle.ready = message
                logging.info("worker on %s ready: %d sessions in real time", handle.config.device, message.limit)
                self._changed.set()
                self._house()
            case msg.Unusable(reason):
                self._fault = handle.fault = reason
                handle.restarts = RESTARTS  # it would not be usable the next time
                if len(self.handles) > 1:  # or `open` says it
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
            logging.error("worker on %s is gone with %d sessions", handle.config.device, len(handle.users))
        self._homeless += handle.users.values()
        if handle.restarts < RESTARTS:
            self._begin(handle.config, 0 if handle.ready else handle.restarts + 1)
        elif not self.handles:
            for user in self._homeless:
                user.failed("its worker was lost, and no other is left")
            self._homeless.clear()
        self._house()

    def _house(self) -> None:
        """Sessions without a worker go to those that are ready."""
        for user in list(self._homeless):
            ready = [handle for handle in self.handles if handle.ready]
            if not ready:
                return
            self._homeless.remove(user)
            handle = min(ready, key=lambda handle: len(handle.users) / handle.ready.limit)
            config, items = user.lost()
            handle.users[user.key] = user
            handle.send(msg.Open(user.key, config))
            for item in items:
                handle.send(msg.Put(user.key, item))

    def _kill(self, handle: WorkerHandle) -> None:
        """A worker that takes no messages is as good as gone.

        Its end of the pipe goes with it. Ours is not closed under the threads that read and write it: they would be
        left with no handle, or with that of something else.
        """
        if hasattr(handle.body, "kill"):
            handle.body.kill()
