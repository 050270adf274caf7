"""What the frozen LLM reads, row by row: pieces of different lengths put one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.shapes import pad_rows, valid_mask


@dataclass(frozen=True)
class Joined:
    """Pieces joined: embeds (B, P, E) padded on the right, lengths (B,), starts (B, number of pieces)."""

    embeds: Tensor
    lengths: Tensor
    starts: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, P) bool, True where a position is real."""
        return valid_mask(self.lengths, self.embeds.shape[1])


def join(pieces: Sequence[tuple[Tensor, Tensor]]) -> Joined:
    """Pieces ((B, N, E), lengths (B,)), the same number of rows each, without the padding between them."""
    sizes = torch.stack([lengths for _, lengths in pieces], dim=1)
    rows = [torch.cat([embeds[row, : lengths[row]] for embeds, lengths in pieces]) for row in range(len(sizes))]
    embeds, lengths = pad_rows(rows)
    return Joined(embeds, lengths, sizes.cumsum(1) - sizes)


def with_end(ids: Tensor, lengths: Tensor, end_id: int) -> tuple[Tensor, Tensor]:
    """Ids (B, N) padded with anything, and an end id behind each row's last: (B, N + 1), lengths + 1."""
    longer = F.pad(ids, (0, 1), value=end_id)
    position = torch.arange(longer.shape[1], device=ids.device)
    return longer.where(position < lengths[:, None], end_id), lengths + 1


def predicting(hidden: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """The states (B, max length, E) that predict a piece: of the position before each of its own.

    starts (B,): where the piece begins in `hidden` (B, P, E); lengths (B,) of the piece. Behind the
    lengths: whatever.
    """
    offset = torch.arange(int(lengths.max()), device=hidden.device)
    index = (starts[:, None] - 1 + offset).clamp(0, hidden.shape[1] - 1)
    return hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[2]))


def text_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and accuracy of logits (N, V) and targets (N,); zeros where N is 0."""
    if len(targets) == 0:
        return logits.sum() * 0.0, logits.new_zeros(())
    return F.cross_entropy(logits.float(), targets), (logits.argmax(-1) == targets).float().mean()
