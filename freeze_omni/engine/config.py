"""How one model is shared by many sessions."""

from dataclasses import dataclass, field

from freeze_omni.frontend.vad import GateConfig


@dataclass(frozen=True)
class ServingConfig:
    """Settings of the engine.

    max_sessions: 0 measures at the start how many are served in real time.
    load: share of real time that may be spent on work, by that measure.
    late_ms: no new session while the last minute's p90 of a listening step is above.
    max_waiting_chunks: a session with more unheard audio (160 ms each) is ended. The largest message of a client has
    five and a half minutes of it.
    max_waiting_events: so is one with more messages or events that were not taken yet.
    hang_s: a worker that reports nothing for so long is killed, and its sessions go on in another.
    max_batch: rows of one batch, so that a batch takes no longer than listening can wait.
    gather_ms: while there is other work, chunks of audio wait this long for others to join.
    ending_ms: an answer with less than this left to play goes before those that have not begun.
    vad: `energy`, or the path of Silero's weights. gate: when the gate opens and closes.
    """

    max_sessions: int = 0
    load: float = 0.75
    late_ms: int = 140
    max_waiting_chunks: int = 2200
    max_waiting_events: int = 2000
    hang_s: float = 15.0
    max_batch: int = 32
    gather_ms: int = 30
    ending_ms: int = 400
    vad: str = "energy"
    gate: GateConfig = field(default_factory=lambda: GateConfig(close_ms=512))

    def __post_init__(self) -> None:
        if min(self.max_waiting_chunks, self.max_waiting_events, self.max_batch) < 1 or self.max_sessions < 0:
            text = "max_waiting_chunks, max_waiting_events and max_batch must be 1 or more, max_sessions 0 or more"
            raise ValueError(text)
        if self.hang_s < 3:
            raise ValueError(f"hang_s {self.hang_s} is below 3: a worker that works well reports every second")
        if not 0 < self.load <= 1:
            raise ValueError(f"load {self.load} is not in (0, 1]")
