"""What the aligner hears: thirteen cepstra with their changes, a hundred times a second, of mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.fft import dct
from torch import Tensor

from freeze_omni.frontend.fbank import Fbank, FbankConfig

CEPSTRA = 13
FBANK = FbankConfig(mel_bins=40)


@torch.no_grad()
def features(wav: Tensor) -> Tensor:
    """Samples (S,) at 16 kHz to (F, 39), not normalised."""
    fbank = Fbank(FBANK)(wav[None], torch.tensor([len(wav)]))[0][0]
    cepstra = torch.from_numpy(dct(fbank.numpy(), norm="ortho")[:, :CEPSTRA].copy())
    change = _change(cepstra)
    return torch.cat([cepstra, change, _change(change)], 1)


def loudness_db(x: Tensor) -> Tensor:
    """Of each frame of features (F, 39) as they come from `features`: the mean over the bins (F,)."""
    return x[:, 0] * 10 / (math.log(10) * FBANK.mel_bins**0.5)


def normalise(utterances: Sequence[Tensor]) -> list[Tensor]:
    """Features (F_i, D) of all utterances with the mean 0 and the variance 1 that they have together."""
    together = torch.cat(list(utterances))
    mean, deviation = together.mean(0), together.std(0).clamp(min=1e-3)
    return [(one - mean) / deviation for one in utterances]


def _change(x: Tensor) -> Tensor:
    """Slope over two frames either side (F, D)."""
    around = torch.nn.functional.pad(x.T[None], (2, 2), mode="replicate")[0].T
    return (2 * (around[4:] - around[:-4]) + around[3:-1] - around[1:-3]) / 10
