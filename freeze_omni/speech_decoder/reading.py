"""The row that is spoken now, given to the AR with each speech token (`reading: told`).

Attention has to discover which letter a token says; trained on minutes of data it does not, and repeats sentences of
the training set (docs/decisions/004). Here the durations of the rows say it: the NAR's output for the token's row and
its two neighbours, and how far into the row the token is, are added to each token's input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.shapes import valid_mask

AROUND = 1  # rows either side
FURTHEST = 15  # tokens from a row's begin or end that have their own embedding


def as_script(rows: Tensor, row_lengths: Tensor) -> Tensor:
    """Rows (B, N, D) with silence before the first and after the last: (B, N + 2 AROUND + 1, D)."""
    silent = rows.masked_fill(~valid_mask(row_lengths, rows.shape[1])[..., None], 0)
    return F.pad(silent, (0, 0, AROUND, AROUND + 1))


def row_ends(durations: Tensor, row_lengths: Tensor) -> Tensor:
    """Durations (B, N) to the time (B, N) at which each row ends; the padding never does."""
    return durations.cumsum(1).masked_fill(~valid_mask(row_lengths, durations.shape[1]), torch.inf)


class Reading(nn.Module):
    """From a script and its times to what is added to the embeddings of speech tokens (width D)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = nn.Linear((2 * AROUND + 1) * size, size, bias=False)
        self.since = nn.Embedding(FURTHEST + 1, size)
        self.until = nn.Embedding(FURTHEST + 1, size)

    def forward(self, script: Tensor, ends: Tensor, time: Tensor) -> Tensor:
        """Script (B, N + 3, D), row ends (B, N) and times (B, T) in tokens to (B, T, D)."""
        around, since, until = look_up(script, ends, time)
        return self.rows(around) + (self.since(since) + self.until(until)).to(around.dtype)


def look_up(script: Tensor, ends: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows around the one spoken at each time, and whole tokens since its begin and until its end.

    Args:
        script: (B, N + 3, D) of `as_script`; ends: (B, N) of `row_ends`; time: (B, T).
    Returns: rows (B, T, 3 D), and two (B, T) from 0 to FURTHEST. After the last row there is silence.
    """
    middle = time.to(ends.dtype) + 0.5  # of the token
    index = torch.searchsorted(ends, middle, right=True)
    around = [_take(script, index + offset) for offset in range(2 * AROUND + 1)]
    bounds = F.pad(ends, (1, 0))
    begin = bounds.gather(1, index)
    end = F.pad(ends, (0, 1), value=torch.inf).gather(1, index)
    since, until = (gap.clamp(0, FURTHEST).long() for gap in (middle - begin, end - middle))
    return torch.cat(around, -1), since, until


def _take(script: Tensor, index: Tensor) -> Tensor:
    return script.gather(1, index[..., None].expand(-1, -1, script.shape[2]))
