"""The spectral codec's decoder: causal ConvNeXt blocks with a fixed lookahead, and an inverse STFT."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.convnext import ConvNextStack
from freeze_omni.codec.istft import OverlapAdd
from freeze_omni.streaming import State


class SpectralDecoder(nn.Module):
    """Code values (B, T, D) and a voice (B, dim) to audio (B, T * hop): causal, read delay_tokens late."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral = config.spectral
        self.hop_samples, self.delay_tokens = config.hop_samples, spectral.lookahead_tokens
        self.frames_per_token, self.latent_dim = spectral.frames_per_token, spectral.latent_dim
        shape = (spectral.kernel, spectral.expansion, True, config.global_code.dim)
        self.enter = nn.Linear(spectral.latent_dim, spectral.width)
        self.blocks = ConvNextStack(spectral.width, spectral.decoder_blocks, *shape)
        self.refine = nn.Linear(spectral.width, self.frames_per_token * spectral.fine_width)
        self.fine = ConvNextStack(spectral.fine_width, spectral.fine_blocks, *shape)
        self.leave = nn.LayerNorm(spectral.fine_width)
        self.head = nn.Linear(spectral.fine_width, spectral.synthesis_window_samples + 2)
        shift = config.hop_samples // self.frames_per_token
        self.overlap_add = OverlapAdd(spectral.synthesis_window_samples, shift)
        self.preview = nn.Linear(spectral.width, self.frames_per_token * spectral.mel_bins)

    def forward(self, values: Tensor, voice: Tensor, valid: Tensor) -> Tensor:
        """All at once; tokens where `valid` (B, T) is False count as absent."""
        return self.with_preview(values, voice, valid)[0]

    def with_preview(self, values: Tensor, voice: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Audio, and the mel frames (B, T, frames * mel_bins) that the coarse blocks expect, for a training loss."""
        values = F.pad(values.masked_fill(~valid[..., None], 0), (0, 0, 0, self.delay_tokens))
        coarse = self.blocks(self.enter(values), condition=voice)
        fine = self.fine(self._refined(coarse), condition=voice)
        wav = self.overlap_add(self._spectrum(fine))[:, self.delay_tokens * self.hop_samples :]
        wav = wav.unflatten(1, (-1, self.hop_samples)).masked_fill(~valid[..., None], 0).flatten(1)
        return wav, self.preview(coarse[:, self.delay_tokens :])

    def initial_state(self, batch_size: int, device: torch.device | None, dtype: torch.dtype) -> State:
        return {
            "coarse": self.blocks.initial_past(batch_size, device, dtype),
            "fine": self.fine.initial_past(batch_size, device, dtype),
            "tail": torch.zeros(batch_size, self.overlap_add.tail_samples, device=device, dtype=dtype),
            "tokens_heard": torch.zeros(batch_size, dtype=torch.long, device=device),
        }

    def step(self, values: Tensor, voice: Tensor, valid: Tensor, state: State) -> tuple[Tensor, State]:
        """New values (B, k, latent_dim) to (B, k * hop) samples, late by the delay and silent before it."""
        values = values.masked_fill(~valid[..., None], 0)
        coarse, coarse_past = self.blocks.step(self.enter(values), state["coarse"], voice)
        fine, fine_past = self.fine.step(self._refined(coarse), state["fine"], voice)
        wav, tail = self.overlap_add.step(self._spectrum(fine), state["tail"])
        index = state["tokens_heard"][:, None] + torch.arange(values.shape[1], device=wav.device)
        early = (index < self.delay_tokens)[..., None]
        wav = wav.unflatten(1, (-1, self.hop_samples)).masked_fill(early, 0).flatten(1)
        heard = state["tokens_heard"] + values.shape[1]
        return wav, {"coarse": coarse_past, "fine": fine_past, "tail": tail, "tokens_heard": heard}

    def _refined(self, coarse: Tensor) -> Tensor:
        return self.refine(coarse).unflatten(2, (self.frames_per_token, -1)).flatten(1, 2)

    def _spectrum(self, fine: Tensor) -> Tensor:
        log_magnitude, phase = self.head(self.leave(fine)).chunk(2, dim=-1)
        return torch.polar(log_magnitude.clamp(max=5).exp(), phase)
