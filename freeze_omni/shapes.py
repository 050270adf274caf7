"""Padding and masks of ragged batches."""

from collections.abc import Sequence

import torch
from torch import Tensor


def valid_mask(lengths: Tensor, size: int | None = None) -> Tensor:
    """(B,) lengths to (B, size) bool, True where an item is real; size defaults to the longest."""
    size = int(lengths.max()) if size is None else size
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def pad_rows(rows: Sequence[Tensor], value: float = 0) -> tuple[Tensor, Tensor]:
    """Rows (T_i, ...) to one tensor (B, max T, ...) padded on the right with `value`, and lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value), lengths


def silence_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero what follows each row's length in x (B, T, ...), whatever it holds, NaN included."""
    mask = valid_mask(lengths, x.shape[1])
    return x.masked_fill(~mask.reshape(*mask.shape, *([1] * (x.dim() - 2))), 0)
