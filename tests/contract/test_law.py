"""The law itself: it accepts a part that obeys and catches each way of breaking it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from freeze_omni.shapes import silence_padding
from freeze_omni.streaming import State
from tests.contract import law

CHECKS = [
    law.check_chunk_by_chunk,
    law.check_random_splits,
    law.check_rows_out_of_step,
    law.check_padding,
    law.check_causal,
    law.check_state,
]


def _running_sum() -> law.Part:
    def forward(x: Tensor, lengths: Tensor) -> law.Rows:
        return law.rows_of(silence_padding(x, lengths).cumsum(1), lengths)

    def step(x: Tensor, state: State) -> tuple[law.Rows, State]:
        y = x.cumsum(1) + state["sum"][:, None]
        return law.rows_of(y), {"sum": y[:, -1]}

    return law.Part(
        chunk=2,
        make_input=lambda batch, size: torch.randn(batch, size, 3),
        forward=forward,
        initial_state=lambda batch: {"sum": torch.zeros(batch, 3)},
        step=step,
    )


@pytest.mark.parametrize("check", CHECKS)
def test_an_obedient_part_passes(check) -> None:
    check(_running_sum())


def _forgets(x: Tensor, state: State) -> tuple[law.Rows, State]:
    return law.rows_of(x.cumsum(1)), state


def _writes(x: Tensor, state: State) -> tuple[law.Rows, State]:
    y = x.cumsum(1) + state["sum"][:, None]
    state["sum"] += x.sum(1)
    return law.rows_of(y), dict(state)


def _mixes_rows(x: Tensor, state: State) -> tuple[law.Rows, State]:
    y = x.cumsum(1) + state["sum"][:1, None]
    return law.rows_of(y), {"sum": y[:, -1]}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"step": _forgets}, law.check_chunk_by_chunk),
        ({"step": _forgets}, law.check_random_splits),
        ({"step": _mixes_rows}, law.check_rows_out_of_step),
        ({"step": _writes}, law.check_state),
        ({"forward": lambda x, lengths: law.rows_of(x.flip(1), lengths)}, law.check_padding),
        ({"forward": lambda x, lengths: law.rows_of(x.mean(1, True) + x)}, law.check_causal),
    ],
)
def test_a_broken_part_is_caught(change, check) -> None:
    with pytest.raises(AssertionError):
        check(replace(_running_sum(), **change))


def test_error_is_infinite_where_shapes_differ() -> None:
    assert law.max_error([torch.zeros(2)], [torch.zeros(3)]) == float("inf")
