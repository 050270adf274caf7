"""From latent frames and voices to tokens: learnt vectors (vq), or a fixed grid (fsq)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import GlobalCodeConfig, QuantiserConfig


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
        digits = bounded + (bounded.round() - bounded).detach()
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


@dataclass
class Quantised:
    """`values` (B, T, D) for the decoder, `tokens` (B, T) long, `loss` the commitment, a scalar."""

    values: Tensor
    tokens: Tensor
    loss: Tensor


class Quantiser(nn.Module):
    """Latent (B, T, width) to tokens and back; projects to the code's width and out of it again."""

    def __init__(self, config: QuantiserConfig, width: int):
        super().__init__()
        self.codebook_size = config.codebook_size
        if config.kind == "fsq":
            dim, self.codes = len(config.levels), FiniteScalarQuantiser(config.levels)
        else:
            dim, following = config.dim or width, (config.normalise, config.decay, config.restart_below)
            self.codes = VectorQuantiser(config.codebook_size, dim, *following)
        self.dim = dim  # width in which codes are compared
        same = config.kind == "vq" and not config.dim
        self.project_in = nn.Identity() if same else nn.Linear(width, dim)
        spread = config.standardise and not same
        self.standardise = nn.BatchNorm1d(dim, affine=False, momentum=0.05) if spread else None
        self.project_out = nn.Identity() if same else nn.Linear(dim, width)

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Quantised:
        """Straight-through values; frames where `mask` (B, T) is False neither train nor move a code."""
        values, tokens, loss = self.codes(self._coordinates(latent), mask)
        return Quantised(self.project_out(values), tokens, loss)

    def tokens(self, latent: Tensor) -> Tensor:
        """(B, T, width) to the nearest codes (B, T), without training anything."""
        return self.codes.nearest(self._coordinates(latent))

    def _coordinates(self, latent: Tensor) -> Tensor:
        x = self.project_in(latent)
        return x if self.standardise is None else self.standardise(x.flatten(0, -2)).view_as(x)

    def lookup(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to values (B, T, width). Raises IndexError for a token outside the codebook."""
        lowest, highest = map(int, tokens.aminmax()) if tokens.numel() else (0, 0)
        if lowest < 0 or highest >= self.codebook_size:
            raise IndexError(f"speech tokens must be in 0..{self.codebook_size - 1}, found {lowest}..{highest}")
        return self.project_out(self.codes.lookup(tokens))


def token_usage(counts: Tensor) -> dict[str, Tensor]:
    """Perplexity of counts (codebook_size,) of tokens, and how many codes were used at all."""
    share = counts.float() / counts.sum().clamp(min=1e-9)
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return {"perplexity": entropy.exp(), "codes_used": (counts > 1e-3).sum().float()}


class GlobalQuantiser(nn.Module):
    """Voice vectors (B, dim) to global tokens (B, n) and back (published: 8 tokens of width 16)."""

    def __init__(self, config: GlobalCodeConfig):
        super().__init__()
        self.dim = config.dim // config.tokens  # of a slice
        self.slices = nn.ModuleList(
            VectorQuantiser(config.codebook_size, self.dim, normalise=False, decay=0.99, restart_below=0.0)
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
