"""Random cuts of utterances for the codec's training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cut(wav: Tensor, lengths: Tensor, samples: int, random: bool) -> Tensor:
    """A piece of each row: wav (B, S), lengths (B,) to (B, samples), silence behind a short row.

    random: anywhere in the row; otherwise in its middle, so that validation is the same each time.
    """
    room = (lengths - samples).clamp(min=0)
    if random:
        starts = (torch.rand(len(wav), device=wav.device) * (room + 1)).long()
    else:
        starts = room // 2
    wav = F.pad(wav, (0, max(0, samples - wav.shape[1])))
    index = starts[:, None] + torch.arange(samples, device=wav.device)
    pieces = wav.gather(1, index)
    return pieces.masked_fill(index >= lengths[:, None], 0)
