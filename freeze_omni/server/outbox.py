"""Messages on their way to one worker: in order, and a client that floods fills its own share alone."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from typing import Any


class Outbox:
    """each: messages of one client that may wait. `put` never blocks; `get` waits, in a thread of its own."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._queue: queue.SimpleQueue[tuple[str | None, Any]] = queue.SimpleQueue()
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()

    def put(self, message: Any, client: str | None = None) -> bool:
        """False if the client's share is spent; what is of no client always goes in."""
        if client is not None:
            with self._lock:
                if self._waiting[client] >= self._each:
                    return False
                self._waiting[client] += 1
        self._queue.put((client, message))
        return True

    def get(self) -> Any:
        client, message = self._queue.get()
        if client is not None:
            with self._lock:
                self._waiting[client] -= 1
                if not self._waiting[client]:
                    del self._waiting[client]
        return message
