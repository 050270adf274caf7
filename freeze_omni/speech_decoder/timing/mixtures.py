"""A mixture of diagonal Gaussians for each state of the aligner, as in Kaldi's monophone systems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

VARIANCE_FLOOR = 0.05  # of features whose variance is one
FEWEST_FRAMES = 30.0  # a state with fewer leans on the mean of all


@dataclass(frozen=True)
class Mixtures:
    """S states of K components over D features: means and variances (S, K, D), log weights (S, K)."""

    means: Tensor
    variances: Tensor
    log_weights: Tensor

    def components(self, frames: Tensor) -> Tensor:
        """Log likelihood with weight (F, S, K) of frames (F, D)."""
        precision = 1 / self.variances
        square = frames.square() @ precision.flatten(0, 1).T
        cross = frames @ (self.means * precision).flatten(0, 1).T
        rest = (self.means.square() * precision + self.variances.log()).sum(-1)
        constant = self.log_weights - 0.5 * (rest + self.means.shape[-1] * math.log(2 * math.pi))
        return (cross - 0.5 * square).unflatten(1, self.log_weights.shape) + constant

    def score(self, frames: Tensor) -> Tensor:
        """Log likelihood (F, S) of frames (F, D) in each state."""
        return self.components(frames).logsumexp(-1)

    def split(self) -> Mixtures:
        """Twice the components, each pair slightly apart."""
        apart = 0.2 * self.variances.sqrt()
        return Mixtures(
            torch.cat([self.means - apart, self.means + apart], 1),
            self.variances.repeat(1, 2, 1),
            self.log_weights.repeat(1, 2) - math.log(2),
        )


def one_gaussian(frames: Tensor, states: Tensor, count: int) -> Mixtures:
    """One component for each of `count` states, from frames (F, D) and their states (F,)."""
    return _estimate(frames, states, torch.ones(len(frames), 1), count)


def reestimate(mixtures: Mixtures, frames: Tensor, states: Tensor) -> Mixtures:
    """The mixtures after one step of EM on frames (F, D) that are in states (F,)."""
    shares = mixtures.components(frames)[torch.arange(len(frames)), states].softmax(-1)
    return _estimate(frames, states, shares, len(mixtures.means))


def _estimate(frames: Tensor, states: Tensor, shares: Tensor, count: int) -> Mixtures:
    """From each component's share (F, K) of a frame; rare states lean on the mean of all."""
    sizes, sums, squares = _sums(frames, states, shares, count)
    lent = (FEWEST_FRAMES / shares.shape[1] - sizes).clamp(min=1e-3)
    total = sizes + lent
    means = (sums + lent[..., None] * frames.mean(0)) / total[..., None]
    second = (squares + lent[..., None] * frames.square().mean(0)) / total[..., None]
    variances = (second - means.square()).clamp(min=VARIANCE_FLOOR)
    return Mixtures(means, variances, (total / total.sum(1, keepdim=True)).log())


def _sums(frames: Tensor, states: Tensor, shares: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    components, size = shares.shape[1], frames.shape[1]
    sizes = torch.zeros(count, components).index_add_(0, states, shares)
    sums, squares = (torch.zeros(count, components, size) for _ in range(2))
    for component in range(components):
        weighted = shares[:, component, None] * frames
        sums[:, component].index_add_(0, states, weighted)
        squares[:, component].index_add_(0, states, weighted * frames)
    return sizes, sums, squares
