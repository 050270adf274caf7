"""The codebook that turns latent frames into tokens: learnt vectors (vq) or a fixed grid (fsq)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from freeze_omni.codec.config import QuantiserConfig
from freeze_omni.codec.fsq import FiniteScalarQuantiser
from freeze_omni.codec.vq import VectorQuantiser


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
            self.codes: nn.Module = FiniteScalarQuantiser(config.levels)
            dim = len(config.levels)
        else:
            dim = config.dim or width
            self.codes = VectorQuantiser(
                config.codebook_size, dim, config.normalise, config.decay, config.restart_below
            )
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
        if tokens.numel() and (int(tokens.min()) < 0 or int(tokens.max()) >= self.codebook_size):
            raise IndexError(
                f"speech tokens must be in 0..{self.codebook_size - 1}, found {int(tokens.min())}..{int(tokens.max())}"
            )
        return self.project_out(self.codes.lookup(tokens))


def token_usage(counts: Tensor) -> dict[str, Tensor]:
    """Perplexity of counts (codebook_size,) of tokens, and how many codes were used at all."""
    share = counts.float() / counts.sum().clamp(min=1e-9)
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return {"perplexity": entropy.exp(), "codes_used": (counts > 1e-3).sum().float()}
