"""ConvNeXt blocks over frames: a depthwise convolution in time, then a two-layer network on each frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.shapes import valid_mask


class ConvNextBlock(nn.Module):
    """x (B, T, width) to the same shape, padded on the left if `causal`; `condition` (B, width) adds the voice."""

    def __init__(self, width: int, kernel: int, expansion: int, causal: bool, scale: float):
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        left = self.kernel - 1 if self.causal else (self.kernel - 1) // 2
        return x + self._branch(F.pad(x, (0, 0, left, self.kernel - 1 - left)), condition)

    def step(self, x: Tensor, past: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """New frames x (B, k, width) after the last kernel - 1 inputs `past`; returns (y, new past)."""
        joined = torch.cat([past, x], dim=1)
        return x + self._branch(joined, condition), joined[:, joined.shape[1] - (self.kernel - 1) :]

    def _branch(self, padded: Tensor, condition: Tensor | None) -> Tensor:
        y = self.norm(self.depthwise(padded.transpose(1, 2)).transpose(1, 2))
        y = y if condition is None else y + condition[:, None]
        return self.narrow(F.gelu(self.widen(y))) * self.scale


class ConvNextStack(nn.Module):
    """Blocks in a row; `condition_dim` > 0 gives each block its own projection of a vector (B, condition_dim)."""

    def __init__(self, width: int, blocks: int, kernel: int, expansion: int, causal: bool, condition_dim: int = 0):
        super().__init__()
        self.width, self.kernel = width, kernel
        self.blocks = nn.ModuleList(
            ConvNextBlock(width, kernel, expansion, causal, 1 / max(1, blocks)) for _ in range(blocks)
        )
        self.conditions = nn.ModuleList(nn.Linear(condition_dim, width) for _ in range(blocks if condition_dim else 0))

    def forward(self, x: Tensor, lengths: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """x (B, T, width); frames after `lengths` (B,) count as absent, as if the row ended there."""
        keep = None if lengths is None else valid_mask(lengths, x.shape[1])[..., None]
        for index, block in enumerate(self.blocks):
            x = x if keep is None else x.masked_fill(~keep, 0)
            x = block(x, self._condition(index, condition))
        return x if keep is None else x.masked_fill(~keep, 0)

    def initial_past(self, batch_size: int, device: torch.device | None, dtype: torch.dtype) -> Tensor:
        """(B, blocks, kernel - 1, width) zeros: what a causal stack heard before its first frame."""
        return torch.zeros(batch_size, len(self.blocks), self.kernel - 1, self.width, device=device, dtype=dtype)

    def step(self, x: Tensor, past: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept = []
        for index, block in enumerate(self.blocks):
            x, rest = block.step(x, past[:, index], self._condition(index, condition))
            kept.append(rest)
        return x, torch.stack(kept, dim=1) if kept else past

    def _condition(self, index: int, condition: Tensor | None) -> Tensor | None:
        return None if condition is None else self.conditions[index](condition)
