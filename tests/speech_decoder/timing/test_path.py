"""The best path against all paths."""

from __future__ import annotations

import itertools

import torch

from freeze_omni.speech_decoder.timing.aligner import best_path


def every_path(slots: int, frames: int):
    """All sequences of states: slots in order, two states each, at most two slots left out at a stretch."""
    for used in itertools.product([False, True], repeat=slots):
        kept = [slot for slot in range(slots) if used[slot]]
        gaps = [after - before for before, after in zip([-1, *kept], [*kept, slots], strict=True)]
        if not kept or max(gaps) > 3 or 2 * len(kept) > frames:
            continue
        states = [state for slot in kept for state in (2 * slot, 2 * slot + 1)]
        for cuts in itertools.combinations(range(1, frames), len(states) - 1):
            edges = [0, *cuts, frames]
            path = [s for s, begin, end in zip(states, edges[:-1], edges[1:], strict=True) for _ in range(end - begin)]
            yield path, [slot for slot in range(slots) if not used[slot]]


def test_it_is_the_best_of_all():
    draw = torch.Generator().manual_seed(0)
    slots, frames = torch.tensor([4, 3, 2]), torch.tensor([7, 6, 4])
    scores = 3 * torch.randn(3, 7, 8, generator=draw)
    prices = -2 * torch.rand(3, 4, generator=draw)
    found = best_path(scores, frames, prices, slots)
    for row, (count, size) in enumerate(zip(slots.tolist(), frames.tolist(), strict=True)):
        total = {
            tuple(path): float(scores[row, torch.arange(size), torch.tensor(path)].sum() + prices[row, left_out].sum())
            for path, left_out in every_path(count, size)
        }
        assert tuple(found[row, :size].tolist()) == max(total, key=total.get)
