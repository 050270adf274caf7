"""One pre-norm Transformer block, with an optional causal convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from freeze_omni.encoder.attention import ATTENTION, Places
from freeze_omni.encoder.config import EncoderConfig


class CausalConvolution(nn.Module):
    """Gated pointwise, causal depthwise, norm, SiLU, pointwise, as in Conformer: ours for small data, off as released.

    It norms each frame alone, so it streams.
    """

    def __init__(self, size: int, kernel: int):
        super().__init__()
        self.gated = nn.Linear(size, 2 * size)
        self.depthwise = nn.Conv1d(size, size, kernel, groups=size)
        self.norm = nn.LayerNorm(size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, size), past (B, kernel - 1, size) to (B, T, size) and the next past."""
        inputs = torch.cat([past, nn.functional.glu(self.gated(x))], dim=1)
        y = self.depthwise(inputs.transpose(1, 2)).transpose(1, 2)
        return self.out(nn.functional.silu(self.norm(y))), inputs[:, x.shape[1] :]


class Block(nn.Module):
    """Attention, convolution (if configured) and feed-forward, each after a norm and added."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.size)
        self.attention = ATTENTION[config.positions](config)
        self.concat = nn.Linear(2 * config.size, config.size) if config.concat_after else None
        self.conv_norm = nn.LayerNorm(config.size) if config.conv_kernel else None
        self.conv = CausalConvolution(config.size, config.conv_kernel) if config.conv_kernel else None
        self.norm2 = nn.LayerNorm(config.size)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.size, config.ffn_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn_size, config.size),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: dict[str, Tensor], mask: Tensor, places: Tensor | Places
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """x (B, Q, size) to the same, and the past of the next call.

        past: `keys`, `values` (B, L, H, head_size) and, with a convolution, `conv`
        (B, kernel - 1, size); the next past has the same sizes. mask (B or 1, Q, L + Q).
        """
        normed = self.norm1(x)
        new_keys, new_values = self.attention.project(normed)
        keys, values = torch.cat([past["keys"], new_keys], dim=1), torch.cat([past["values"], new_values], dim=1)
        attended = self.attention(normed, keys, values, mask, places)
        if self.concat is None:
            x = x + self.dropout(attended)
        else:
            x = x + self.concat(torch.cat([normed, attended], dim=-1))
        after = {"keys": keys[:, x.shape[1] :], "values": values[:, x.shape[1] :]}
        if self.conv is not None:
            y, after["conv"] = self.conv(self.conv_norm(x), past["conv"])
            x = x + self.dropout(y)
        return x + self.dropout(self.feed_forward(self.norm2(x))), after
