"""Guided attention: an auxiliary loss that makes some heads follow the text while it is spoken. Off by default.

After Tachibana et al. 2018 (section 4.1), on the rotated queries and keys of one AR layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from freeze_omni.shapes import valid_mask


def guided_attention(query: Tensor, key: Tensor, token_lengths: Tensor, row_lengths: Tensor, width: float) -> Tensor:
    """Mean attention weight that lies off the diagonal.

    Args:
        query: (B, h, T, d) of the speech tokens; key: (B, h, N, d) of the text rows.
        token_lengths, row_lengths: (B,), how many of T and N are real.
        width: how far from the diagonal is free, as a share of the utterance.
    """
    rows = valid_mask(row_lengths, key.shape[2])
    tokens = valid_mask(token_lengths, query.shape[2])
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    weights = scores.float().masked_fill(~rows[:, None, None], -1e9).softmax(dim=-1)
    token_share = torch.arange(query.shape[2], device=key.device) / token_lengths.clamp(min=1)[:, None]
    row_share = torch.arange(key.shape[2], device=key.device) / row_lengths.clamp(min=1)[:, None]
    distance = token_share[:, :, None] - row_share[:, None, :]
    off = 1 - torch.exp(-(distance**2) / (2 * width**2))
    lost = (weights * off[:, None]).sum(dim=-1).mean(dim=1)
    return (lost * tokens).sum() / tokens.sum().clamp(min=1)
