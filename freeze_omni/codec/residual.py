"""Residual blocks of the time-domain codec, with absent frames kept absent."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.1  # of every LeakyReLU, except the one before the encoder's last convolution


def normed_conv(inputs: int, outputs: int, kernel: int, dilation: int = 1, stride: int = 1) -> nn.Conv1d:
    """A weight-normalised convolution, padded so that the frame count is kept (or divided by the stride)."""
    padding = (kernel - stride) // 2 if stride > 1 else dilation * (kernel - 1) // 2
    return weight_norm(nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation))


def keep_present(x: Tensor, present: Tensor | None) -> Tensor:
    """x (B, C, T) with frames zeroed where `present` (B, T') is False; T is a multiple of T'."""
    if present is None:
        return x
    return x.masked_fill(~present.repeat_interleave(x.shape[2] // present.shape[1], dim=1)[:, None], 0)


class PairedBlock(nn.Module):
    """Kind "1": for each dilation d a convolution dilated by d, then one undilated, around a residual."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs1 = nn.ModuleList(normed_conv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(normed_conv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            y = first(keep_present(F.leaky_relu(x, SLOPE), present))
            x = x + second(keep_present(F.leaky_relu(y, SLOPE), present))
        return x


class SingleBlock(nn.Module):
    """Kind "2": one dilated convolution for each dilation, each around a residual."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs = nn.ModuleList(normed_conv(channels, channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        for conv in self.convs:
            x = x + conv(keep_present(F.leaky_relu(x, SLOPE), present))
        return x


def residual_block(kind: str, channels: int, kernel: int, dilations: tuple[int, ...]) -> nn.Module:
    return (PairedBlock if kind == "1" else SingleBlock)(channels, kernel, dilations)
