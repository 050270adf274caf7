"""How much of an answer its user has heard, by the clock: a client plays what it is sent, as it comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Playback:
    """One answer's sound on a time line; times are the caller's seconds.

    A client that has nothing left to play waits: `ends_s` is when what was sent so far is over.
    """

    output_hz: int
    asked_s: float
    sent: int = 0
    ends_s: float = 0.0

    @property
    def begun(self) -> bool:
        return self.sent > 0

    def send(self, samples: int, now_s: float) -> None:
        """So many samples more are on their way."""
        self.ends_s = max(self.ends_s, now_s) + samples / self.output_hz
        self.sent += samples

    def heard(self, now_s: float) -> int:
        """Samples played up to now."""
        left = max(0.0, self.ends_s - now_s) * self.output_hz
        return max(0, self.sent - int(-(-left // 1)))
