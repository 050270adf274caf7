"""Forced alignment by CTC: where in the speech each unit of a known text is."""

from __future__ import annotations

import torch
from torch import Tensor

from freeze_omni.shapes import silence_padding


@torch.no_grad()
def unit_ends(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, blank: int = 0) -> Tensor:
    """The last frame of each unit on the best path that spells the targets.

    Args:
        logits: (B, T, V), lengths (B,); targets (B, U), lengths (B,); padding holds anything.
    Returns: (B, U) frames; -1 behind a row's targets, and in rows with too few frames for their units.
    """
    targets = silence_padding(targets, target_lengths)
    states = torch.full((len(targets), 2 * targets.shape[1] + 1), blank, device=targets.device)
    states[:, 1::2] = targets
    scores = logits.float().log_softmax(-1)
    scores = scores.gather(2, states[:, None].expand(-1, scores.shape[1], -1))
    back = _best_steps(scores, _may_skip(states, blank))
    return _ends(*back, lengths, target_lengths)


def _may_skip(states: Tensor, blank: int) -> Tensor:
    """(B, S) bool: a state that can follow the one two before it, the blank between left out."""
    skip = torch.zeros_like(states, dtype=torch.bool)
    skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return skip


def _best_steps(scores: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T, S) to best path scores (B, T, S) and how many states each step came forward (B, T, S)."""
    best = torch.full_like(scores[:, 0], float("-inf"))
    best[:, :2] = scores[:, 0, :2]
    paths, steps = [best], [torch.zeros_like(skip, dtype=torch.long)]
    for frame in range(1, scores.shape[1]):
        one = torch.nn.functional.pad(best[:, :-1], (1, 0), value=float("-inf"))
        two = torch.nn.functional.pad(best[:, :-2], (2, 0), value=float("-inf"))
        came, step = torch.stack([best, one, two.masked_fill(~skip, float("-inf"))]).max(0)
        best = came + scores[:, frame]
        paths.append(best)
        steps.append(step)
    return torch.stack(paths, 1), torch.stack(steps, 1)


def _ends(paths: Tensor, steps: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    rows = torch.arange(len(paths), device=paths.device)
    last = (lengths - 1).clamp(min=0)
    final = torch.stack([2 * target_lengths, (2 * target_lengths - 1).clamp(min=0)], 1)
    reached = paths[rows, last].gather(1, final)
    state = final.gather(1, reached.argmax(1, keepdim=True))[:, 0]
    possible = reached.max(1).values.isfinite() & (lengths > 0)
    ends = torch.full((len(paths), (paths.shape[2] - 1) // 2 + 1), -1, device=paths.device)
    for frame in range(paths.shape[1] - 1, -1, -1):
        inside = (frame <= last) & possible
        unit = torch.where(inside & (state % 2 == 1), state // 2, ends.shape[1] - 1)
        new = ends[rows, unit] < 0
        ends[rows[new], unit[new]] = frame
        state = torch.where(inside, state - steps[rows, frame, state], state)
    unit = torch.arange(ends.shape[1] - 1, device=paths.device)
    return ends[:, :-1].masked_fill((unit >= target_lengths[:, None]) | ~possible[:, None], -1)
