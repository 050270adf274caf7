"""States of several users in one batch."""

from __future__ import annotations

import torch

from freeze_omni.streaming import join_states, split_state, state_bytes


def state(value: int) -> dict[str, torch.Tensor]:
    return {"past": torch.full((1, 3, 2), float(value)), "age": torch.tensor([value])}


def test_joined_and_split_states_are_the_same():
    rows = [state(value) for value in (4, 7, 9)]
    joined = join_states(rows)
    assert joined["past"].shape == (3, 3, 2) and joined["age"].tolist() == [4, 7, 9]
    for one, other in zip(split_state(joined), rows, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in other)


def test_memory_is_counted():
    assert state_bytes(state(1)) == 6 * 4 + 8
