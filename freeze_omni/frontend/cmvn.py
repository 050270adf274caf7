"""Global mean and variance normalisation, and the statistics files it is read from."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-20


class Cmvn(nn.Module):
    """(x - mean) * istd over the last dimension; buffers `mean` and `istd` (dim,), the identity until they are set."""

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("istd", torch.ones(dim))

    def forward(self, feats: Tensor) -> Tensor:
        """(..., dim) to (..., dim)."""
        return (feats - self.mean) * self.istd

    @classmethod
    def from_sums(cls, count: float, total: Tensor, total_square: Tensor) -> Cmvn:
        """From a number of frames and sums (dim,) of features and squares. Raises ValueError: no frame, other sizes."""
        if count <= 0 or total.shape != total_square.shape or total.dim() != 1:
            raise ValueError(
                f"statistics of {count} frames with sums {tuple(total.shape)} and "
                f"{tuple(total_square.shape)}: collect them again over at least one utterance"
            )
        mean = total.double() / count
        variance = (total_square.double() / count - mean.square()).clamp_min(VARIANCE_FLOOR)
        cmvn = cls(len(total))
        cmvn.mean.copy_(mean)
        cmvn.istd.copy_(variance.rsqrt())
        return cmvn

    @classmethod
    def from_json(cls, path: str | Path) -> Cmvn:
        """From {"mean_stat": sums, "var_stat": sums of squares, "frame_num": frames}."""
        try:
            stats = json.loads(Path(path).read_text(encoding="utf-8"))
            sums, squares = (torch.tensor(stats[key], dtype=torch.double) for key in ("mean_stat", "var_stat"))
            return cls.from_sums(stats["frame_num"], sums, squares)
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(f"{path}: expected JSON with mean_stat, var_stat, frame_num ({problem})") from None

    @classmethod
    def from_kaldi(cls, path: str | Path) -> Cmvn:
        """From Kaldi's text matrix `[ sums count \\n sums_of_squares 0 ]`."""
        text = Path(path).read_text(encoding="utf-8").strip()
        try:
            body = text[text.index("[") + 1 : text.index("]")]
            values = torch.tensor([float(word) for word in body.split()], dtype=torch.double)
            sums, squares = values.reshape(2, -1)
            return cls.from_sums(float(sums[-1]), sums[:-1], squares[:-1])
        except (ValueError, RuntimeError) as problem:
            raise ValueError(
                f"{path}: expected Kaldi text statistics of two rows in brackets ({problem}); "
                "a binary file becomes text with `copy-matrix --binary=false`"
            ) from None
