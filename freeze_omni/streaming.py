"""What a streaming part is: a function (x, state) -> (y, state), and how states of several users share a batch.

A state is a flat dict of tensors. Every tensor has the batch first and a shape that does not depend on how much was
heard, so rows of any age can be put into one batch, taken out, copied and stored. Per-row counters live in the state.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(features (B, F, bins), lengths (B,)) to the same, such as SpecAugment."""


def join_states(states: Sequence[State]) -> State:
    """Put the states of several users into one batch, in order."""
    return {key: torch.cat([state[key] for state in states]) for key in states[0]}


def split_state(state: State) -> list[State]:
    """One state of batch 1 for each row; the inverse of `join_states`."""
    rows = len(next(iter(state.values())))
    return [{key: value[row : row + 1] for key, value in state.items()} for row in range(rows)]


def join_parts[T](states: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """The states of several parts as one, with keys `<part>.<key>`."""
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


def part_state[T](state: Mapping[str, T], name: str) -> dict[str, T]:
    """The entries of one part, without its prefix; the inverse of `join_parts`."""
    return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(name + ".")}


def state_bytes(state: State) -> int:
    return sum(value.numel() * value.element_size() for value in state.values())
