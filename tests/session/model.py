"""Toys of a whole model: with a state head that follows a script, and one that is sure to send nothing in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.system import FreezeOmni
from tests.toy import toy_system

MAYBE = (0.6, 0.3, 0.1)
"""Probabilities of states by which an answer is begun, and not yet decided on."""
QUIET = 1e-4


class ScriptedHead(nn.Module):
    """Says state 0, and what `script` has for the n-th chunk that it is asked about (from 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[int, int | tuple[float, ...]] = {}
        self.asked = 0

    def forward(self, hidden: Tensor, summary: Tensor) -> Tensor:
        state = self.script.get(self.asked, 0)
        self.asked += 1
        if isinstance(state, tuple):
            return torch.tensor([[state]]).log()
        return nn.functional.one_hot(torch.tensor([[state]]), 3).float() * 8


class QuietHead(nn.Module):
    """Takes a quiet chunk for what may be the end of a turn; never decides."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, hidden: Tensor, summary: Tensor) -> Tensor:
        quiet = (summary @ self.weight + self.bias > 0)[..., None]
        return torch.where(quiet, torch.tensor(MAYBE), torch.tensor([0.98, 0.01, 0.01])).log()


def toy_model(folder: Path) -> FreezeOmni:
    """A toy with the convolution adapter, so that every chunk sends positions."""
    model = toy_system(folder / "llm", adapter=AdapterChoice(conv=ConvAdapterConfig()))
    model.state_head = ScriptedHead()
    return model


def quiet_toy(folder: Path) -> FreezeOmni:
    """A toy with the CTC adapter that hears units in what is loud, and in silence none."""
    model = toy_system(folder / "llm")
    draw, size = np.random.default_rng(9), model.rates.chunk_samples
    wav = np.concatenate([level * draw.standard_normal(20 * size) for level in (0.3, QUIET)]).astype(np.float32)
    state = model.listening.initial_state(1)
    with torch.no_grad():
        heard, _ = model.listening.step(torch.from_numpy(wav)[None], state)
        weight, bias = _quieter(heard.frames[0])
        output = model.ctc.output
        output.weight[0], output.bias[0] = 40 * weight, 40 * bias
        draw = torch.Generator().manual_seed(3)
        output.weight[1:].normal_(0, 1.0, generator=draw)
        output.bias[1:] = 0.0
    model.state_head = QuietHead(*_quieter(heard.adapted.summary[0]))
    return model


def _quieter(frames: Tensor) -> tuple[Tensor, Tensor]:
    """A linear function (D,), () that is above 0 in the later half of frames (T, D), which is quiet."""
    half = len(frames) // 2
    wanted = torch.ones(len(frames), 1)
    wanted[:half] = -1
    inputs = torch.cat([frames, torch.ones(len(frames), 1)], dim=1)
    found = torch.linalg.lstsq(inputs, wanted).solution[:, 0]
    assert bool(((inputs @ found > 0) == (wanted[:, 0] > 0)).float().mean() > 0.97), "quiet and loud look alike"
    return found[:-1], found[-1]
