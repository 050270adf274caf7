"""Kaldi-compatible log mel filterbank features, offline and in steps (paper section 3.1)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.streaming import State

INT16_SCALE = 32768.0
PREEMPHASIS = 0.97
LOW_HZ = 20.0
POVEY_POWER = 0.85


@dataclass(frozen=True)
class FbankConfig:
    """The released checkpoints' features: 80 bins, 25 ms windows, every 10 ms, at 16 kHz."""

    sample_hz: int = 16000
    frame_length_ms: int = 25
    frame_shift_ms: int = 10
    mel_bins: int = 80

    @property
    def window_samples(self) -> int:
        return self.sample_hz * self.frame_length_ms // 1000

    @property
    def shift_samples(self) -> int:
        return self.sample_hz * self.frame_shift_ms // 1000

    @property
    def overlap_samples(self) -> int:
        """Samples that neighbouring windows share (240)."""
        return self.window_samples - self.shift_samples

    @property
    def fft_size(self) -> int:
        return 1 << (self.window_samples - 1).bit_length()


class Fbank(nn.Module):
    """Kaldi's `compute-fbank-feats` without dither, edges snipped, on samples scaled to int16.

    A stream begins with `overlap_samples` zeros, so that every `shift_samples` give one frame and
    2560 samples give 16; `forward` prepends the same zeros unless `left_pad` is False.
    """

    delay_samples = 0  # a feature comes with its sound

    def __init__(self, config: FbankConfig | None = None):
        super().__init__()
        self.config = config or FbankConfig()
        self.register_buffer("window", _povey_window(self.config.window_samples), persistent=False)
        self.register_buffer("mel", _mel_weights(self.config), persistent=False)

    def forward(self, wav: Tensor, lengths: Tensor, left_pad: bool = True) -> tuple[Tensor, Tensor]:
        """Samples (B, S) in [-1, 1] and lengths (B,) to features (B, F, mel_bins) and lengths.

        With left_pad F is S // shift; without it, Kaldi's count. Frames of the padding are whatever
        the padding holds: mask them by the lengths. Audio shorter than one frame gives none.
        """
        pad = self.config.overlap_samples if left_pad else 0
        missing = max(0, self.config.window_samples - pad - wav.shape[1])
        feats = self._frames(nn.functional.pad(wav, (pad, missing)))
        counts = (lengths + pad - self.config.window_samples) // self.config.shift_samples + 1
        return feats, counts.clamp_min(0)

    def initial_state(
        self, batch_size: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float
    ) -> State:
        """The samples before the first: zeros (B, overlap_samples)."""
        return {"samples": torch.zeros(batch_size, self.config.overlap_samples, device=device, dtype=dtype)}

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples (B, k * shift_samples) to features (B, k, mel_bins). Raises ValueError for other sizes."""
        shift = self.config.shift_samples
        if wav.shape[1] == 0 or wav.shape[1] % shift:
            raise ValueError(f"a step takes a multiple of {shift} samples, found {wav.shape[1]}")
        samples = torch.cat([state["samples"], wav], dim=1)
        return self._frames(samples), {"samples": samples[:, -self.config.overlap_samples :]}

    def _frames(self, wav: Tensor) -> Tensor:
        frames = wav.float().unfold(1, self.config.window_samples, self.config.shift_samples) * INT16_SCALE
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = (frames - PREEMPHASIS * before) * self.window
        power = torch.fft.rfft(frames, self.config.fft_size).abs().square()
        energy = power[..., :-1] @ self.mel  # Kaldi leaves the Nyquist bin out
        return energy.clamp_min(torch.finfo(torch.float32).eps).log()


def _povey_window(size: int) -> Tensor:
    angle = torch.arange(size, dtype=torch.float64) * (2 * math.pi / (size - 1))
    return (0.5 - 0.5 * angle.cos()).pow(POVEY_POWER).float()


def _mel(hz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hz / 700.0)


def _mel_weights(config: FbankConfig) -> Tensor:
    """(fft_size / 2, mel_bins): triangles, evenly spaced on the mel scale from 20 Hz to Nyquist."""
    nyquist_hz = config.sample_hz / 2
    low, high = _mel(torch.tensor([LOW_HZ, nyquist_hz], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, config.mel_bins + 2, dtype=torch.float64)
    bins = torch.arange(config.fft_size // 2, dtype=torch.float64)
    mel = _mel(bins * config.sample_hz / config.fft_size)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0).float()
