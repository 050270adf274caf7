"""The best path through a text: slots of two states each, in order; each may be skipped at a price."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_SKIPPED = 2  # slots in a row
NEVER = -1e30


def best_path(scores: Tensor, frames: Tensor, prices: Tensor, slots: Tensor) -> Tensor:
    """The state of each frame on the best path.

    scores: (B, T, 2 N) log likelihood of each frame in each state; state 2 i and 2 i + 1 are slot i's.
    frames: (B,) real frames; slots: (B,) real slots.
    prices: (B, N) log probability of skipping a slot.
    Returns: (B, T) states, arbitrary after the real frames.
    """
    skips = _skips(prices)
    best = _start(scores[:, 0], prices)
    steps = torch.zeros(scores.shape, dtype=torch.int8)
    bests = [best]
    for frame in range(1, scores.shape[1]):
        came, step = torch.stack([best, _shift(best, 1)] + [_shift(best, far) + cost for far, cost in skips]).max(0)
        best = came + scores[:, frame]
        steps[:, frame] = step
        bests.append(best)
    return _trace(torch.stack(bests, 1), steps, frames, prices, slots)


def _shift(best: Tensor, states: int) -> Tensor:
    return torch.nn.functional.pad(best[:, :-states], (states, 0), value=NEVER)


def _skips(prices: Tensor) -> list[tuple[int, Tensor]]:
    """For one and two skipped slots: how many states that moves forward, and its price (B, 2 N)."""
    found = []
    for skipped in range(1, MOST_SKIPPED + 1):
        cost = torch.full((len(prices), 2 * prices.shape[1]), NEVER)
        left_out = [prices[:, skipped - back : prices.shape[1] - back] for back in range(1, skipped + 1)]
        cost[:, 2 * skipped :: 2] = torch.stack(left_out).sum(0)
        found.append((1 + 2 * skipped, cost))
    return found


def _start(first: Tensor, prices: Tensor) -> Tensor:
    best = torch.full_like(first, NEVER)
    for skipped in range(min(MOST_SKIPPED + 1, prices.shape[1])):
        best[:, 2 * skipped] = first[:, 2 * skipped] + prices[:, :skipped].sum(1)
    return best


def _trace(bests: Tensor, steps: Tensor, frames: Tensor, prices: Tensor, slots: Tensor) -> Tensor:
    rows, last = torch.arange(len(bests)), (frames - 1).clamp(min=0)
    state = torch.zeros(len(bests), dtype=torch.long)
    reached = torch.full((len(bests),), 2 * NEVER)
    paid = torch.zeros(len(bests))
    for skipped in range(MOST_SKIPPED + 1):
        slot = slots - 1 - skipped
        end = (2 * slot + 1).clamp(min=0)
        found = (bests[rows, last, end] + paid).where(slot >= 0, 2 * torch.tensor(NEVER))
        better = found > reached
        state, reached = end.where(better, state), found.where(better, reached)
        paid = paid + prices[rows, slot.clamp(min=0)]
    forward = torch.tensor([0, 1] + [1 + 2 * skipped for skipped in range(1, MOST_SKIPPED + 1)])
    path = torch.zeros(bests.shape[:2], dtype=torch.long)
    for frame in range(bests.shape[1] - 1, -1, -1):
        inside = frame <= last
        path[:, frame] = state
        came = forward[steps[rows, frame, state].long()] * (frame > 0)
        state = (state - came).where(inside, state)
    return path
