"""How a model is shared (`ServingConfig`), and what each user may choose (`SessionConfig`)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from freeze_omni.frontend.vad import GateConfig
from freeze_omni.rates import Rates
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.reducer import TurnConfig
from freeze_omni.session.session import SessionConfig

NEVER = 2.0
"""A threshold that no probability passes: the state head does not decide."""


@dataclass(frozen=True)
class ServingConfig:
    """Sharing one model.

    Attributes:
        max_sessions: 0 measures at the start how many are served in real time.
        load: share of real time that may be worked, by that measure.
        late_ms: no new session while the last minute's p90 of a listening step is above.
        max_waiting_chunks: a session with more unheard audio (160 ms each) is ended.
        max_batch: rows of one batch, so that a batch takes no longer than listening can wait.
        gather_ms: while there is other work, chunks of audio wait so long for company.
        ending_ms: an answer that has less to play than this goes before those that have not begun.
        vad: `energy`, or the path of Silero's weights.
        gate: when the gate opens and closes.
    """

    max_sessions: int = 0
    load: float = 0.75
    late_ms: int = 140
    max_waiting_chunks: int = 100
    max_batch: int = 32
    gather_ms: int = 30
    ending_ms: int = 400
    vad: str = "energy"
    gate: GateConfig = field(default_factory=lambda: GateConfig(close_ms=512))

    def __post_init__(self) -> None:
        if min(self.max_waiting_chunks, self.max_batch) < 1 or self.max_sessions < 0:
            raise ValueError("max_waiting_chunks and max_batch must be 1 or more, max_sessions 0 or more")
        if not 0 < self.load <= 1:
            raise ValueError(f"load {self.load} is not in (0, 1]")


@dataclass(frozen=True)
class SessionConfig:
    """One user's choices; None is the packed model's own.

    Attributes:
        turns: who says that a turn is over: `head` the state head behind the gate; `vad` the gate alone, after
            silence_ms without speech, and its opening interrupts; `manual` the user, who asks for a response.
        interrupt: whether speech stops the answer; otherwise it is answered behind it. For `head` and `vad`.
        pre_roll_ms: audio from before the gate opened.
        open_above: probability of speech at which the gate opens.
        speech: spoken answers; False for text alone.
    """

    system: str | None = None
    turns: Literal["head", "vad", "manual"] = "head"
    interrupt: bool = True
    silence_ms: int = 500
    pre_roll_ms: int = 960
    open_above: float = 0.5
    threshold: float = 0.5
    speech: bool = True
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def turn_config(self, rates: Rates) -> TurnConfig:
        decided = self.turns == "head"
        return TurnConfig(
            chunk_s=rates.chunk_s,
            gate="open" if self.turns == "manual" else "vad",
            pre_roll_chunks=round(self.pre_roll_ms / rates.chunk_ms),
            threshold=self.threshold if decided else NEVER,
            silent_chunks=12 if decided else 10**6,
            interrupt=self.interrupt or self.turns == "manual",
        )

    def answer_config(self, own: AnswerConfig) -> AnswerConfig:
        """The model's own way of answering with what this user chose. Raises ValueError for impossible choices."""
        chosen = {name: getattr(self, name) for name in ("max_new_tokens", "temperature", "top_k", "top_p")}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        return replace(own, generation=replace(own.generation, **chosen), speech=self.speech)

    def session_config(self, rates: Rates, own: AnswerConfig) -> SessionConfig:
        """What a session begins with. Raises ValueError for impossible choices."""
        return SessionConfig(self.turn_config(rates), self.answer_config(own), self.system, self.seed)

    def gate_config(self, gate: GateConfig) -> GateConfig:
        close_below = min(gate.close_below, self.open_above)
        close_ms = self.silence_ms if self.turns == "vad" else gate.close_ms
        return replace(gate, open_above=self.open_above, close_below=close_below, close_ms=close_ms)
