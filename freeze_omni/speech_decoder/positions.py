"""Rotary positions of text rows, prefix rows and speech tokens.

Plain: counted from bos on, as published. Progress: a text row has the position at which it is spoken, in speech tokens,
so that "look at what is said now" is a constant offset (progress-monitoring rotary positions for text-to-speech).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.shapes import valid_mask
from freeze_omni.speech_decoder.layer import NORM_EPS


@dataclass(frozen=True)
class Places:
    """Positions of one batch: bos and text rows (B, 1 + N), prefix rows (B, M), the sos (B,)."""

    text: Tensor
    prefix: Tensor
    sos: Tensor


def plain_places(row_lengths: Tensor, rows: int, prefix_rows: int) -> Places:
    """bos at 0, then text rows, then the sos; the prefix is counted separately."""
    count = torch.arange(max(rows + 1, prefix_rows), device=row_lengths.device, dtype=torch.float32)
    batch = len(row_lengths)
    return Places(count[: rows + 1].expand(batch, -1), count[:prefix_rows].expand(batch, -1), 1.0 + row_lengths)


def progress_places(durations: Tensor, prefix_lengths: Tensor, prefix_rows: int) -> Places:
    """Each text row in the middle of its duration (B, N); the prefix spread over the same time."""
    total = durations.sum(dim=1)
    middle = durations.cumsum(dim=1) - durations / 2
    share = torch.arange(prefix_rows, device=durations.device) + 0.5
    prefix = share * (total / prefix_lengths.clamp(min=1))[:, None]
    zero = torch.zeros_like(total)
    return Places(torch.cat([zero[:, None], middle], dim=1), prefix, zero)


def stretch(durations: Tensor, total: Tensor) -> Tensor:
    """Durations (B, N) scaled so that each row of the batch lasts `total` (B,) speech tokens."""
    return durations * (total / durations.sum(dim=1).clamp(min=1e-3))[:, None]


class LengthHead(nn.Module):
    """Speech tokens that each text row takes, learned from the total or row by row; starts constant."""

    def __init__(self, size: int, tokens_per_row: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.linear = nn.Linear(size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.scale = tokens_per_row / math.log(2.0)  # softplus(0) = log 2

    def forward(self, rows: Tensor, row_lengths: Tensor) -> Tensor:
        """NAR output (B, N, D) to durations (B, N) in speech tokens, 0 in the padding."""
        durations = self.scale * F.softplus(self.linear(self.norm(rows)).squeeze(-1).float())
        return durations * valid_mask(row_lengths, rows.shape[1])

    @staticmethod
    def loss(durations: Tensor, token_lengths: Tensor) -> Tensor:
        """Mean distance of the logarithms of predicted and true length."""
        predicted = durations.sum(dim=1).clamp(min=1e-3)
        return (predicted.log() - token_lengths.clamp(min=1).log()).abs().mean()

    @staticmethod
    def row_loss(durations: Tensor, row_tokens: Tensor, row_lengths: Tensor) -> Tensor:
        """Mean distance of the square roots of predicted and true durations (B, N), over real rows.

        The root weights an error of one token most in short rows, and is defined for rows of 0.
        """
        apart = (durations.clamp(min=1e-3).sqrt() - row_tokens.to(durations.dtype).clamp(min=0).sqrt()).abs()
        real = valid_mask(row_lengths, durations.shape[1])
        return (apart * real).sum() / real.sum().clamp(min=1)
