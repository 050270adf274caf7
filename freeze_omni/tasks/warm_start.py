"""A fresh convolution adapter learns by alignment which embeddings the LLM wants, before it learns through the LLM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.adapter.output import AdapterOutput
from freeze_omni.shapes import valid_mask


@dataclass(frozen=True)
class WarmStartConfig:
    """The first part of stage 1.2, without a pass through the LLM (ours; off for the paper's way).

    Attributes:
        share: of the training (0 to 1).
        filler_weight: weight of a position between tokens, where one that ends a token has 1.
        contrast_weight: of the cross entropy over the distances to all units' embeddings, beside the squared error.
        temperature: of those distances, as a share of the embeddings' mean square.
    """

    share: float = 0.5
    filler_weight: float = 0.5
    contrast_weight: float = 1.0
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.temperature <= 0:
            raise ValueError("share must be above 0 and at most 1, temperature above 0")


def aligned_units(ends: Tensor, units: Tensor, lengths: Tensor, frames_per_position: int, size: int) -> Tensor:
    """Which unit each position shall carry: its own at the position that has heard the unit's end, 0 elsewhere.

    Args:
        ends: (B, U) last frames of the units, -1 for none (see `alignment.unit_ends`); units (B, U).
        lengths: (B,) positions; size: the longest.
    Returns: (B, size) units. Two units never share a position: the later one moves on, and is lost behind the last.
    """
    wanted = torch.zeros(len(ends), size, dtype=units.dtype, device=units.device)
    free = torch.zeros_like(lengths)
    rows = torch.arange(len(ends), device=units.device)
    for column in range(ends.shape[1]):
        heard = (ends[:, column] + frames_per_position - 1) // frames_per_position
        position = torch.maximum(heard, free)
        fits = (ends[:, column] >= 0) & (position < lengths)
        wanted[rows[fits], position[fits]] = units[fits, column]
        free = torch.where(fits, position + 1, free)
    return wanted


def alignment_loss(
    adapted: AdapterOutput, wanted: Tensor, table: Tensor, config: WarmStartConfig
) -> tuple[Tensor, Tensor]:
    """How far the positions are from the embeddings that they shall carry.

    Args:
        wanted: (B, P) units; table: (V, E), the embedding of each unit, the filler's in row 0.
    Returns: the loss, and the share of tokens whose embedding is the nearest.
    """
    valid = valid_mask(adapted.lengths, wanted.shape[1])
    given, units = adapted.embeds[valid].float(), wanted[valid]
    table = table.float()
    scale = table.square().sum(1).mean()
    weights = torch.where(units > 0, 1.0, config.filler_weight)
    square = (given - table[units]).square().sum(1) / scale
    distance = torch.cdist(given, table).square() / scale
    contrast = F.cross_entropy(-distance / config.temperature, units, reduction="none")
    loss = ((square + config.contrast_weight * contrast) * weights).sum() / weights.sum().clamp(min=1)
    tokens = units > 0
    hits = (distance.argmin(1) == units) & tokens
    return loss, hits.sum() / tokens.sum().clamp(min=1)
