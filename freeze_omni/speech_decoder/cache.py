"""Keys and values of the AR layers as a streaming state: preallocated, grown by doubling.

A state holds
    cache     (B, layers, 2, heads, S, d)  keys and values of prefix, text, speech, from slot 0 on
    length    (B,)  slots in use
    position  (B,)  rotary position of the next speech token
    script, ends    (B, N + 3, D), (B, N)  what `reading` looks up, with `reading: told`
    hidden, waiting, waited  of `multi_token`, with several tokens a pass
A token is written after `length` without a copy of the rest. An older state stays valid until another continuation of
it is computed, which overwrites the slots (clone `cache` to keep both).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.streaming import State, join_states

SMALLEST_CAPACITY = 256


def pack(layers: Sequence[tuple[Tensor, Tensor]], valid: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values per layer, each (B, H, K, d), of valid (B, K), to a cache without gaps and lengths (B,)."""
    lengths = valid.sum(dim=1)
    capacity = max(SMALLEST_CAPACITY, 1 << int(lengths.max()).bit_length())  # a power of two
    key = layers[0][0]
    cache = key.new_zeros(len(key), len(layers), 2, key.shape[1], capacity, key.shape[3])
    for row, length in enumerate(lengths.tolist()):
        for index, pair in enumerate(layers):
            for which, tensor in enumerate(pair):
                cache[row, index, which, :, :length] = tensor[row][:, valid[row]]
    return cache, lengths


def grow(cache: Tensor, capacity: int) -> Tensor:
    """The cache with room for `capacity` slots; itself if it has it."""
    missing = capacity - cache.shape[4]
    return F.pad(cache, (0, 0, 0, missing)) if missing > 0 else cache


def with_room(cache: Tensor, slots: int) -> Tensor:
    """The cache, of twice the capacity if `slots` do not fit."""
    return cache if slots <= cache.shape[4] else grow(cache, 2 * cache.shape[4])


def write(cache: Tensor, layer: int, slots: Tensor | int, key: Tensor, value: Tensor) -> None:
    """Put keys and values (B, H, K, d) into each row's slots from (B,) on, or from that of all rows, in place."""
    size = key.shape[2]
    if isinstance(slots, int):
        cache[:, layer, 0, :, slots : slots + size] = key
        cache[:, layer, 1, :, slots : slots + size] = value
        return
    rows = torch.arange(len(slots), device=slots.device)[:, None]
    places = slots[:, None] + torch.arange(size, device=slots.device)
    for which, new in enumerate((key, value)):
        cache[:, layer, which].transpose(1, 2)[rows, places] = new.transpose(1, 2).to(cache.dtype)


def join(states: Sequence[State]) -> State:
    """States of several users, of any age and capacity, in one batch."""
    capacity = max(state["cache"].shape[4] for state in states)
    even = [{**state, "cache": grow(state["cache"], capacity)} for state in states]
    if "script" in states[0]:
        rows = max(state["ends"].shape[1] for state in states)
        even = [state | _lengthen_script(state, rows - state["ends"].shape[1]) for state in even]
    return join_states(even)


def _lengthen_script(state: State, rows: int) -> State:
    """Script and ends of a state with `rows` more rows: silence, at infinity."""
    ends = F.pad(state["ends"], (0, rows), value=torch.inf)
    return {"script": F.pad(state["script"], (0, 0, 0, rows)), "ends": ends}
