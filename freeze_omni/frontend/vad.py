"""The VAD gate before the model: it opens when speech begins (paper section 3.1, figure 3).

A detector gives the probability of speech for every window of 32 ms; the gate turns it into open or closed, slowly
enough not to chatter. Five windows are one streaming step of 160 ms.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from freeze_omni.streaming import State

WINDOW_SAMPLES = 512
WINDOW_MS = 32
SILENT = 0.05
"""Below this share of the level of the loudest chunk so far, 26 dB, is silence."""


class Detector(Protocol):
    """Whether a window holds speech: the energy detector here, or `freeze_omni.frontend.silero`."""

    def initial_state(self, batch_size: int) -> State: ...

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """16 kHz samples (B, k * 512) in [-1, 1] to probabilities of speech (B, k)."""
        ...


@dataclass(frozen=True)
class EnergyConfig:
    """margin_db: above the noise floor, for a probability of one half; slope_db: softness of that.
    floor_db: where the floor starts, lowest_db: the lowest it gets, both re full scale.
    rise_db_s: how fast it follows noise upwards; downwards it follows at once."""

    margin_db: float = 15.0
    slope_db: float = 2.0
    floor_db: float = -55.0
    lowest_db: float = -70.0
    rise_db_s: float = 3.0


class EnergyDetector:
    """Speech is what is louder than a slowly rising noise floor: no weights, no download."""

    def __init__(self, config: EnergyConfig | None = None):
        self.config = config or EnergyConfig()

    def initial_state(self, batch_size: int) -> State:
        """The noise floor (B,) in dB re full scale."""
        return {"floor_db": torch.full((batch_size,), self.config.floor_db)}

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        power = windows(wav).square().mean(-1)
        levels_db = 10 * power.clamp_min(1e-12).log10()
        floor, above = state["floor_db"], []
        for level in levels_db.unbind(1):
            above.append(level - floor)
            rise = self.config.rise_db_s * WINDOW_MS / 1000
            floor = torch.minimum(level, floor + rise).clamp_min(self.config.lowest_db)
        excess_db = torch.stack(above, dim=1) - self.config.margin_db
        return (excess_db / self.config.slope_db).sigmoid(), {"floor_db": floor}


@dataclass(frozen=True)
class GateConfig:
    """The gate opens after open_ms of windows at open_above or more in a row, and closes after
    close_ms of windows under close_below in a row."""

    open_above: float = 0.5
    close_below: float = 0.35
    open_ms: int = 64
    close_ms: int = 640

    def __post_init__(self) -> None:
        if not 0 <= self.close_below <= self.open_above <= 1:
            raise ValueError("0 <= close_below <= open_above <= 1 must hold")


class Gate(nn.Module):
    """Open while somebody speaks. A streaming part over samples."""

    def __init__(self, detector: Detector, config: GateConfig | None = None):
        super().__init__()
        self.detector, self.config = detector, config or GateConfig()

    def initial_state(self, batch_size: int) -> State:
        """Closed: `open` (B,) bool, `run` (B,) windows in a row that speak for a change; and the detector's state."""
        closed = {"open": torch.zeros(batch_size, dtype=torch.bool), "run": torch.zeros(batch_size, dtype=torch.long)}
        return self.detector.initial_state(batch_size) | closed

    @torch.no_grad()
    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """16 kHz samples (B, k * 512) to whether the gate is open after each window (B, k) bool."""
        inner = {key: value for key, value in state.items() if key not in ("open", "run")}
        probability, inner = self.detector.step(wav, inner)
        is_open, run, seen = state["open"], state["run"], []
        for value in probability.unbind(1):
            against = torch.where(is_open, value < self.config.close_below, value >= self.config.open_above)
            run = torch.where(against, run + 1, 0)
            needed_ms = torch.where(is_open, self.config.close_ms, self.config.open_ms)
            change = against & (run * WINDOW_MS >= needed_ms)
            is_open, run = is_open ^ change, run.masked_fill(change, 0)
            seen.append(is_open)
        return torch.stack(seen, dim=1), {**inner, "open": is_open, "run": run}


def windows(wav: Tensor) -> Tensor:
    """(B, k * 512) to (B, k, 512). Raises ValueError for other sizes."""
    if wav.shape[1] == 0 or wav.shape[1] % WINDOW_SAMPLES:
        raise ValueError(f"the gate takes a multiple of {WINDOW_SAMPLES}, found {wav.shape[1]}")
    return wav.unflatten(1, (-1, WINDOW_SAMPLES))
