"""The Llama layer of NAR, prefix and AR: RMSNorm, rotary positions, SwiGLU, no biases."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.attention import attend

ROTARY_BASE = 10000.0
NORM_EPS = 1e-6
Rotary = tuple[Tensor, Tensor]


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


class Layer(nn.Module):
    """One pre-norm layer in steps, so that a cache can come between them."""

    def __init__(self, size: int, heads: int, ffn_size: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.ffn_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.gate_up = nn.Linear(size, 2 * ffn_size, bias=False)
        self.down = nn.Linear(ffn_size, size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def project(self, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D) to rotated queries and keys, and values, each (B, H, T, d)."""
        batch, steps, size = x.shape
        mixed = self.query_key_value(self.attention_norm(x))
        query, key, value = mixed.view(batch, steps, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        return rotate(query, rotary), rotate(key, rotary), value

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention over key and value (B, H, K, d) where mask (B, 1, T, K) allows, then the feed-forward."""
        return self.finish(x, attend(query, key, value, mask))

    def finish(self, x: Tensor, context: Tensor) -> Tensor:
        """What follows the attention: its output context (B, H, T, d) joins x, then the feed-forward."""
        x = x + self.dropout(self.attention_out(context.transpose(1, 2).flatten(2)))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.down(F.silu(gate) * up))

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        """x (B, T, D) to (B, T, D), attending to itself where mask (B, 1, T, T) allows."""
        return self.attend(x, *self.project(x, rotary), mask)


def key_mask(valid: Tensor) -> Tensor:
    """valid (B, K) to a mask (B, 1, 1, K); a row without keys sees everything, as an empty softmax would be NaN."""
    return (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]
