"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505): every dimension is rounded to a few levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GAUSSIAN_TO_EVEN = (2 / torch.pi) ** 0.5  # of unit variance: then all levels are about as frequent


class FiniteScalarQuantiser(nn.Module):
    """x (B, T, len(levels)) to values in [-1, 1] on a grid of prod(levels) points; nothing is learnt."""

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("radix", torch.tensor([1, *levels[:-1]]).cumprod(0), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Straight-through values, tokens (B, T), and a loss of zero (there is nothing to commit to)."""
        bounded = self._bounded(x)
        digits = bounded.round()
        digits = bounded + (digits - bounded).detach()
        return self._centred(digits), self._tokens(digits.detach().round()), x.new_zeros(())

    def nearest(self, x: Tensor) -> Tensor:
        return self._tokens(self._bounded(x).round())

    def lookup(self, tokens: Tensor) -> Tensor:
        digits = tokens[..., None] // self.radix % self.levels
        return self._centred(digits.to(torch.get_default_dtype()))

    def _bounded(self, x: Tensor) -> Tensor:
        """Onto (-0.5, levels - 0.5) exclusive, so that rounding gives the digits 0..levels-1."""
        half = (self.levels - 1) / 2
        return half + (half + 0.499) * torch.tanh(GAUSSIAN_TO_EVEN * x)

    def _centred(self, digits: Tensor) -> Tensor:
        half = (self.levels - 1) / 2
        return (digits - half) / half

    def _tokens(self, digits: Tensor) -> Tensor:
        return (digits.long() * self.radix).sum(-1)
