"""Features and gates under the law."""

from __future__ import annotations

import torch
from torch import Tensor

from freeze_omni.frontend.fbank import Fbank
from freeze_omni.frontend.silero import SileroDetector
from freeze_omni.frontend.vad import Detector, EnergyDetector, Gate, GateConfig
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows, rows_of


def _fbank() -> Part:
    fbank = Fbank()

    def step(wav: Tensor, state: State) -> tuple[Rows, State]:
        feats, state = fbank.step(wav, state)
        return rows_of(feats), state

    return Part(
        chunk=2560,
        make_input=lambda batch, samples: 0.1 * torch.randn(batch, samples),
        forward=lambda wav, lengths: rows_of(*fbank(wav, lengths)),
        initial_state=fbank.initial_state,
        step=step,
    )


def _bursts(batch: int, samples: int) -> Tensor:
    loudness = 10 ** (-4 * torch.rand(batch, samples // 512)).repeat_interleave(512, dim=1)
    return loudness * torch.randn(batch, samples)


def _detector(part: Detector | Gate) -> Part:
    """Detectors and gates only stream: all at once is one long step."""

    def step(wav: Tensor, state: State) -> tuple[Rows, State]:
        values, state = part.step(wav, state)
        return rows_of(values), state

    def forward(wav: Tensor, lengths: Tensor) -> Rows:
        values, _ = part.step(wav, part.initial_state(len(wav)))
        return rows_of(values, lengths // 512)

    return Part(512, _bursts, forward, part.initial_state, step)


PARTS = {
    "fbank": _fbank,
    "energy_detector": lambda: _detector(EnergyDetector()),
    "silero_detector": lambda: _detector(SileroDetector().eval()),
    "gate": lambda: _detector(Gate(EnergyDetector(), GateConfig(open_ms=32, close_ms=64))),
}
