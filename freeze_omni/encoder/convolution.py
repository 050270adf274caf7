"""A causal convolution module as in Conformer: our addition for small data, off as released."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CausalConvolution(nn.Module):
    """Gated pointwise, causal depthwise, norm, SiLU, pointwise. Normed by frame, so it streams."""

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
