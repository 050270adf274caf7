"""A clock for measuring a session without waiting in real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class VirtualClock:
    """Now, in seconds of a dialogue.

    It does not sleep: it jumps to when a chunk arrives, and work moves it on by as long as the work really
    took. So a session's times are those of real time, on this machine, without the network.

    pace: how much longer work takes than here; 0 lets it take no time, which makes a run repeat itself anywhere.
    """

    def __init__(self, pace: float = 1.0) -> None:
        self.now_s, self.pace = 0.0, pace

    def wait_until(self, time_s: float) -> None:
        """Nothing happens before time_s; a time that has passed changes nothing."""
        self.now_s = max(self.now_s, time_s)

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of work(*arguments), with its duration on the clock."""
        begin = time.perf_counter()
        result = work(*arguments)
        self.now_s += self.pace * (time.perf_counter() - begin)
        return result
