"""Features under the law."""

from __future__ import annotations

import torch
from torch import Tensor

from freeze_omni.frontend.fbank import Fbank
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


PARTS = {"fbank": _fbank}
