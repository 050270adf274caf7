"""Inverse STFT by overlap-add that can stop and resume after any frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OverlapAdd(nn.Module):
    """Spectra (B, F, window/2 + 1) to (B, F * shift) samples: frame f adds to the samples from f * shift on.

    Every frame has a Hann window whose copies at `shift` add up to a constant, so no edge needs a correction.
    """

    def __init__(self, window_samples: int, shift_samples: int):
        super().__init__()
        self.window_samples, self.shift_samples = window_samples, shift_samples
        self.tail_samples = window_samples - shift_samples
        window = torch.hann_window(window_samples) * (2 * shift_samples / window_samples)
        self.register_buffer("window", window, persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        return self._add(spectrum)[:, : spectrum.shape[1] * self.shift_samples]

    def step(self, spectrum: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """New frames on top of the `tail` (B, window - shift) of those before; returns (samples, new tail)."""
        total = self._add(spectrum)
        total = total + F.pad(tail, (0, total.shape[1] - tail.shape[1]))
        ready = spectrum.shape[1] * self.shift_samples
        return total[:, :ready], total[:, ready:]

    def _add(self, spectrum: Tensor) -> Tensor:
        frames = torch.fft.irfft(spectrum, n=self.window_samples) * self.window
        parts = frames.unflatten(2, (-1, self.shift_samples))
        count = parts.shape[2]
        total = parts.new_zeros(parts.shape[0], parts.shape[1] + count - 1, self.shift_samples)
        for index in range(count):  # the i-th piece of a frame lies i shifts after its start
            total = total + F.pad(parts[:, :, index], (0, 0, index, count - 1 - index))
        return total.flatten(1)
