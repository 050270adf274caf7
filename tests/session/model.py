"""The toy of a whole model with a state head that follows a script."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.system import FreezeOmni
from tests.toy import toy_system


class ScriptedHead(nn.Module):
    """Says state 0, and what `script` has for the n-th chunk that it is asked about (from 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[int, int] = {}
        self.asked = 0

    def forward(self, hidden: Tensor, summary: Tensor) -> Tensor:
        state = self.script.get(self.asked, 0)
        self.asked += 1
        return nn.functional.one_hot(torch.tensor([[state]]), 3).float() * 8


def toy_model(folder: Path) -> FreezeOmni:
    """A toy with the convolution adapter, so that every chunk sends positions."""
    model = toy_system(folder / "llm", adapter=AdapterChoice(conv=ConvAdapterConfig()))
    model.state_head = ScriptedHead()
    return model
