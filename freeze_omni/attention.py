"""Softmax attention and rotary positions as encoder and speech decoder use them."""

import torch
from torch import Tensor
from torch.nn import functional as F

ROTARY_BASE = 10000.0
Rotary = tuple[Tensor, Tensor]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    """Attention (B, H, Q, d) of query over key and value (B, H, K, d).

    mask: bool, to be broadcast to (B, H, Q, K), True where seen; None sees everything.
    Under autocast on a CPU it is spelt out: torch's fused kernel takes three times as long there to go back.
    """
    if dropout or query.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value


def rotary_tables(positions: Tensor, head_size: int) -> Rotary:
    """Cosine and sine (B, 1, T, head_size / 2) of positions (B, T), whole numbers or not."""
    steps = torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32)
    angles = positions.float()[:, None, :, None] * ROTARY_BASE ** (-steps / head_size)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn x (B, H, T, d) by its positions; the pairs are (i, i + d/2), as in Llama."""
    cosine, sine = (table.to(x.dtype) for table in rotary)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)
