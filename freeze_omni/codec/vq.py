"""Vector quantisation with a codebook that follows a running mean of what it was given."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VectorQuantiser(nn.Module):
    """x (B, T, dim) to the nearest of `size` codes; `normalise` compares directions only.

    In training the codes are exponential means (`decay`) of the vectors assigned to them, started by k-means on the
    first batch; a code that is hardly used is replaced by a vector of the batch.
    """

    def __init__(self, size: int, dim: int, normalise: bool, decay: float, restart_below: float):
        super().__init__()
        self.size, self.normalise, self.decay, self.restart_below = size, normalise, decay, restart_below
        self.register_buffer("codebook", torch.randn(size, dim))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, dim))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Straight-through values (B, T, dim), tokens (B, T), commitment loss (mean squared distance)."""
        x = self._direction(x)
        flat = x.detach()[mask] if mask is not None else x.detach().flatten(0, -2)
        if self.training and not self.started:
            self._start(flat)
        tokens = self._nearest(x.detach())
        values = self.lookup(tokens)
        distance = (x - values).square().sum(-1)
        loss = distance.mean() if mask is None else distance[mask].mean()
        if self.training:
            self._follow(flat, tokens[mask] if mask is not None else tokens.flatten())
        return x + (values - x).detach(), tokens, loss

    def nearest(self, x: Tensor) -> Tensor:
        return self._nearest(self._direction(x))

    def lookup(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.codebook)

    def _direction(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) if self.normalise else x

    def _nearest(self, x: Tensor) -> Tensor:
        return (2 * (x @ self.codebook.T) - self.codebook.square().sum(-1)).argmax(-1)

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        chosen = torch.randint(len(flat), (self.size,), device=flat.device)
        codebook = flat[chosen] + 0.01 * torch.randn_like(self.codebook)
        self.codebook.copy_(self._direction(codebook))
        for _ in range(5):
            self.counts.zero_(), self.sums.zero_()
            self._follow(flat, self._nearest(flat), decay=0.0)
        self.started.fill_(True)

    @torch.no_grad()
    def _follow(self, flat: Tensor, tokens: Tensor, decay: float | None = None) -> None:
        decay = self.decay if decay is None else decay
        counts = torch.zeros_like(self.counts).index_add_(0, tokens, torch.ones_like(flat[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, tokens, flat)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        self.counts.lerp_(counts, 1 - decay)
        self.sums.lerp_(sums, 1 - decay)
        self._restart(flat)
        self.codebook.copy_(self._direction(self.sums / self.counts[:, None].clamp(min=1e-6)))

    def _restart(self, flat: Tensor) -> None:
        share = self.counts.sum() / self.size
        dead = self.counts < self.restart_below * share
        if not dead.any():
            return
        chosen = flat[torch.randint(len(flat), (self.size,), device=flat.device)]
        if torch.distributed.is_initialized():
            torch.distributed.broadcast(chosen, src=0)
        self.sums[dead] = chosen[dead] * share
        self.counts[dead] = share
