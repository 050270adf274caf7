"""The spectral codec's encoder: log-mel frames, stacked to the token rate, through ConvNeXt blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.convnext import ConvNextStack
from freeze_omni.codec.logmel import LogMel
from freeze_omni.shapes import silence_padding, valid_mask


class SpectralEncoder(nn.Module):
    """(B, S) audio to latent frames (B, T, latent_dim) and a voice vector (B, global dim), T = ceil(S / hop)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral = config.spectral
        self.hop_samples, self.latent_dim = config.hop_samples, spectral.latent_dim
        self.frames_per_token = spectral.frames_per_token
        shift = config.hop_samples // spectral.frames_per_token
        self.logmel = LogMel(config.sample_rate_hz, spectral.analysis_window_samples, shift, spectral.mel_bins)
        stacked = spectral.mel_bins * spectral.frames_per_token
        shape = (spectral.kernel, spectral.expansion, False)
        self.enter = nn.Linear(stacked, spectral.width)
        self.blocks = ConvNextStack(spectral.width, spectral.encoder_blocks, *shape)
        self.leave = nn.Sequential(nn.LayerNorm(spectral.width), nn.Linear(spectral.width, self.latent_dim))
        self.global_enter = nn.Linear(stacked, spectral.width)
        self.global_blocks = ConvNextStack(spectral.width, spectral.global_blocks, *shape)
        self.attention = nn.Linear(spectral.width, 1, bias=False)
        self.global_leave = nn.Linear(spectral.width, config.global_code.dim)

    def features(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S), (B,) to mel frames stacked by token (B, T, frames * mel_bins) about unit scale, and (B,)."""
        wav = silence_padding(wav, lengths)
        wav = F.pad(wav, (0, -wav.shape[1] % self.hop_samples))
        mel = self.logmel(wav) / 2 + 2  # log magnitudes lie in -7..0
        return mel.unflatten(1, (-1, self.frames_per_token)).flatten(2), -(-lengths // self.hop_samples)

    def forward(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent frames, their lengths (B,), and the mel frames that they were made of."""
        frames, token_lengths = self.features(wav, lengths)
        return self.leave(self.blocks(self.enter(frames), token_lengths)), token_lengths, frames

    def speaker(self, wav: Tensor, lengths: Tensor) -> Tensor:
        """The voice of a reference: attentive mean over its frames, scaled to unit variance per row."""
        frames, token_lengths = self.features(wav, lengths)
        x = self.global_blocks(self.global_enter(frames), token_lengths)
        scores = self.attention(x).squeeze(-1)
        scores = scores.masked_fill(~valid_mask(token_lengths, x.shape[1]), float("-inf"))
        code = self.global_leave((torch.softmax(scores, dim=-1)[..., None] * x).sum(1))
        return F.layer_norm(code, code.shape[-1:])
