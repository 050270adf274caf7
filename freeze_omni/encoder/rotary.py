"""Attention with rotary positions: relative, so a stream may last for ever."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from freeze_omni.attention import attend
from freeze_omni.encoder.config import EncoderConfig

BASE = 10000.0


def rotation(frames: Tensor, head_size: int) -> Tensor:
    """Cosines and sines (2, T, head_size / 2) of the angles at `frames` (T,)."""
    powers = torch.arange(0, head_size, 2, device=frames.device, dtype=torch.float32) / head_size
    angles = frames.float()[:, None] * BASE**-powers
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the halves of x (B, H, T, head_size) against each other by `rotation` angles."""
    cos, sin = turn.to(x.dtype)
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)


class RotaryAttention(nn.Module):
    """Multi-head attention whose keys are cached before they are turned.

    Only distances count, so a step may count its frames from the oldest one in the cache: the
    angles stay small and exact however old the stream is.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads, self.dropout = config.heads, config.attention_dropout
        self.query = nn.Linear(config.size, config.size)
        self.key = nn.Linear(config.size, config.size)
        self.value = nn.Linear(config.size, config.size)
        self.out = nn.Linear(config.size, config.size)

    @staticmethod
    def places(config: EncoderConfig, queries: Tensor, keys: Tensor, chunk_frames: int) -> Tensor:
        """Angles of the frames of a call, oldest key first; the same for rows of any age."""
        frames = torch.arange(keys.shape[-1], device=keys.device)
        return rotation(frames, config.head_size)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, T, H, head_size) of frames x (B, T, size), as they are cached."""
        return (self.key(x).unflatten(-1, (self.heads, -1)), self.value(x).unflatten(-1, (self.heads, -1)))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, turn: Tensor) -> Tensor:
        """Attend from the newest frames x (B, Q, size) to keys and values (B, K, H, head_size).

        mask (B or 1, Q, K) bool, True where seen; turn: what `places` gave. Returns (B, Q, size).
        """
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        attended = attend(
            rotate(query, turn[:, -x.shape[1] :]),
            rotate(keys.transpose(1, 2), turn),
            values.transpose(1, 2),
            mask[:, None],
            self.dropout if self.training else 0.0,
        )
        return self.out(attended.transpose(1, 2).flatten(2))
