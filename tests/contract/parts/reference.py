"""The echo reference of the state head under the law; the two sides are the last axis of the input."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from freeze_omni.duplex.reference import EchoReference
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows, rows_of

CHUNK = 2560


def _part(late_chunks: int) -> Part:
    reference = EchoReference(CHUNK, late_chunks)

    def sound(batch: int, size: int) -> Tensor:
        bursts = (torch.rand(batch, size // 640, 2) > 0.4).float().repeat_interleave(640, dim=1)
        return 0.1 * torch.randn(batch, size, 2) * bursts

    def step(x: Tensor, state: State) -> tuple[Rows, State]:
        rows, state = reference.step(x[..., 0], x[..., 1], state)
        return list(rows), state

    return Part(
        chunk=CHUNK,
        make_input=sound,
        forward=lambda x, lengths: rows_of(reference(x[..., 0], x[..., 1]), lengths // CHUNK),
        initial_state=reference.initial_state,
        step=step,
    )


PARTS = {"echo_reference": partial(_part, 0), "echo_reference_late": partial(_part, 2)}
