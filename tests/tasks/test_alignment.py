"""Forced alignment against all paths of small examples."""

from __future__ import annotations

import itertools

import torch

from freeze_omni.tasks.alignment import unit_ends


def best_ends(scores: torch.Tensor, target: list[int]) -> list[int]:
    """By trying every path of scores (T, V)."""
    best = (float("-inf"), [])
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        said, ends, before = [], [], 0
        for frame, unit in enumerate(path):
            if unit and unit != before:
                said.append(unit)
                ends.append(frame)
            elif unit:
                ends[-1] = frame
            before = unit
        if said == target:
            score = sum(float(scores[frame, unit]) for frame, unit in enumerate(path))
            best = max(best, (score, ends))
    return best[1]


def test_finds_the_best_path_of_every_row():
    targets = torch.tensor([[1, 1, 2], [2, 7, 9], [2, 1, -1]])
    sizes, lengths = torch.tensor([3, 1, 2]), torch.tensor([6, 4, 5])
    for _ in range(10):
        logits = 2 * torch.randn(3, 6, 3)
        logits[1, 4:] = logits[2, 5:] = torch.nan
        ends = unit_ends(logits, lengths, targets, sizes)
        for row in range(3):
            scores = logits[row, : lengths[row]].log_softmax(-1)
            wanted = best_ends(scores, targets[row, : sizes[row]].tolist())
            assert ends[row].tolist() == wanted + [-1] * (3 - len(wanted))


def test_says_so_where_there_are_too_few_frames():
    logits = torch.randn(3, 3, 4)
    targets = torch.tensor([[1, 1], [1, 2], [3, 3]])
    ends = unit_ends(logits, torch.tensor([2, 2, 0]), targets, torch.tensor([2, 2, 1]))
    assert ends.tolist() == [[-1, -1], [0, 1], [-1, -1]]
