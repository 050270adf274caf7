"""Softmax attention as encoder and speech decoder use it."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
