"""Log-mel spectra of a waveform batch, for the encoder's input and the training losses."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LogMel(nn.Module):
    """(B, S) audio to (B, F, mel_bins) log-mel magnitudes; frame f is centred on its own shift of samples.

    S is taken as a multiple of `shift_samples`; F = S / shift_samples. Magnitudes under `floor` count as `floor`, so
    that nothing is spent on the noise of silence.
    """

    def __init__(
        self, sample_rate_hz: int, window_samples: int, shift_samples: int, mel_bins: int, floor: float = 1e-3
    ):
        super().__init__()
        self.window_samples, self.shift_samples, self.floor = window_samples, shift_samples, floor
        self.register_buffer("window", torch.hann_window(window_samples), persistent=False)
        with torch.device("cpu"):  # a model may be built on the meta device, which cannot compute
            filters = mel_filters(sample_rate_hz, window_samples, mel_bins)
        self.register_buffer("filters", filters, persistent=False)

    def magnitudes(self, wav: Tensor) -> Tensor:
        """(B, S) to (B, F, window/2 + 1) linear magnitudes, scaled so that a full-scale sine is near 1."""
        margin = self.window_samples - self.shift_samples
        padded = F.pad(wav, (margin // 2, margin - margin // 2))
        spectrum = torch.fft.rfft(padded.unfold(1, self.window_samples, self.shift_samples) * self.window)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power + 1e-14).sqrt() * (4 / self.window_samples)

    def forward(self, wav: Tensor) -> Tensor:
        return self.from_magnitudes(self.magnitudes(wav))

    def from_magnitudes(self, magnitudes: Tensor) -> Tensor:
        return (magnitudes @ self.filters).clamp(min=self.floor).log()


def mel_filters(sample_rate_hz: int, window_samples: int, mel_bins: int) -> Tensor:
    """Triangular filters (window/2 + 1, mel_bins), each of peak 1, evenly spaced on the HTK mel scale."""
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    edges_hz = 700 * (10 ** (torch.linspace(0, top, mel_bins + 2) / 2595) - 1)
    bins_hz = torch.linspace(0, sample_rate_hz / 2, window_samples // 2 + 1)
    rising = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    empty = filters.sum(0) == 0  # a filter narrower than a bin takes the bin nearest to its centre
    is_nearest = torch.arange(len(bins_hz))[:, None] == (bins_hz[:, None] - edges_hz[1:-1]).abs().argmin(0)
    return torch.where(empty & is_nearest, torch.ones_like(filters), filters)
