"""The global (speaker) code as tokens: the voice vector cut in slices, each with its own codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import GlobalCodeConfig
from freeze_omni.codec.vq import VectorQuantiser


class GlobalQuantiser(nn.Module):
    """Voice vectors (B, dim) to global tokens (B, n) and back (published: 8 tokens of width 16)."""

    def __init__(self, config: GlobalCodeConfig):
        super().__init__()
        width = config.dim // config.tokens
        self.slices = nn.ModuleList(
            VectorQuantiser(config.codebook_size, width, normalise=False, decay=0.99, restart_below=0.0)
            for _ in range(config.tokens)
        )

    def forward(self, voice: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Straight-through vectors (B, dim), tokens (B, n), mean commitment loss of the slices."""
        parts = voice[:, None].chunk(len(self.slices), dim=-1)
        results = [codes(part) for codes, part in zip(self.slices, parts, strict=True)]
        values = torch.cat([value for value, _, _ in results], dim=-1).squeeze(1)
        tokens = torch.cat([token for _, token, _ in results], dim=-1)
        return values, tokens, torch.stack([loss for _, _, loss in results]).mean()

    def tokens(self, voice: Tensor) -> Tensor:
        parts = voice.chunk(len(self.slices), dim=-1)
        return torch.stack([codes.nearest(part) for codes, part in zip(self.slices, parts, strict=True)], dim=-1)

    def lookup(self, tokens: Tensor) -> Tensor:
        """Global tokens (B, n) to vectors (B, dim)."""
        return torch.cat([codes.lookup(tokens[:, index]) for index, codes in enumerate(self.slices)], dim=-1)


def fixed_voice(codes: Tensor) -> Tensor:
    """The row to serve from codes (N, ...) of a speaker: mean of unit variance, or the most frequent token each."""
    if codes.is_floating_point():
        mean = codes.mean(0, keepdim=True)
        return F.layer_norm(mean, mean.shape[-1:])
    return codes.mode(0, keepdim=True).values
