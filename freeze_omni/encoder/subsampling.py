"""Four feature frames to one encoder frame (released layout: two strided convolutions)."""

from __future__ import annotations

from torch import Tensor, nn

DOWNSAMPLE = 4
OVERLAP_FEATS = 3


class Subsampling(nn.Module):
    """Two Conv2d (kernel 3, stride 2, ReLU) over time and mel bins, then a linear layer.

    3 + 4 n frames give n: frame t sees features 4 t - 3 to 4 t + 3, counted from behind the three that stand in front.
    """

    def __init__(self, input_size: int, channels: int, size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, 2)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2)
        self.out = nn.Linear(channels * (((input_size - 1) // 2 - 1) // 2), size)

    def forward(self, feats: Tensor) -> Tensor:
        """(B, 3 + F, input_size) to (B, F // 4, size)."""
        x = self.conv1(feats[:, None]).relu()
        x = self.conv2(x).relu()
        return self.out(x.transpose(1, 2).flatten(2))
