"""The time-domain codec's encoder and its global (voice) encoder, as in the published checkpoint."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.residual import SLOPE, normed_conv, residual_block
from freeze_omni.codec.time_decoder import LATENT_DIM
from freeze_omni.shapes import pad_rows

FIRST_CHANNELS = 32
GROUP_CHANNELS = 16
LAST_SLOPE = 0.01


class VoiceEncoder(nn.Module):
    """Frames (B, C, T) of one stage to a voice vector (B, D): convolutions, mean over time, a projection."""

    def __init__(self, conv: tuple[int, int, int, int, int], dim: int):
        super().__init__()
        inputs, hidden, outputs, kernel, stride = conv
        widths = [inputs, hidden, hidden, outputs]
        padding = (kernel - stride) // 2
        self.conv = nn.ModuleList(nn.Conv1d(a, b, kernel, stride, padding, bias=False) for a, b in pairwise(widths))
        self.linear = nn.Linear(outputs, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.conv:
            x = F.leaky_relu(conv(x), SLOPE)
        return self.norm(F.leaky_relu(self.linear(x.mean(-1)), SLOPE))


class TimeEncoder(nn.Module):
    """(B, S) audio to latents (B, T, 512) and a voice (B, dim); norms read whole rows, so lengths are not mixed."""

    latent_dim = LATENT_DIM

    def __init__(self, config: CodecConfig):
        super().__init__()
        time_domain = config.time_domain
        self.hop_samples = config.hop_samples
        self.conv_pre = normed_conv(1, FIRST_CHANNELS, 7)
        self.ups, self.normalize, self.resblocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = FIRST_CHANNELS
        blocks = list(zip(time_domain.block_kernels, time_domain.block_dilations, strict=True))[::-1]
        for rate, kernel in zip(reversed(time_domain.rates), reversed(time_domain.rate_kernels), strict=True):
            self.ups.append(normed_conv(channels, 2 * channels, kernel, stride=rate))
            channels *= 2
            for size, dilations in blocks:
                self.resblocks.append(residual_block(time_domain.block, channels, size, dilations))
                self.normalize.append(nn.GroupNorm(channels // GROUP_CHANNELS, channels, eps=1e-6))
        if channels != LATENT_DIM:
            raise ValueError(f"{len(self.ups)} rates end at {channels} channels; the codes have {LATENT_DIM}")
        self.block_count = len(blocks)
        self.voice_stage = len(self.ups) // 2 - 1
        self.conv_post = nn.Conv1d(LATENT_DIM, LATENT_DIM, 3, padding=1)
        self.voice = VoiceEncoder(time_domain.global_conv, config.global_code.dim)

    def forward(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, None]:
        """Latent frames, their lengths (B,), and no mel frames."""
        stages = map(self._stages, self._rows(wav, lengths))
        latents = [self.conv_post(F.leaky_relu(row, LAST_SLOPE)).transpose(1, 2) for row in stages]
        latent = latents[0] if len(latents) == 1 else pad_rows([one[0] for one in latents])[0]
        return latent, -(-lengths // self.hop_samples), None

    def speaker(self, wav: Tensor, lengths: Tensor) -> Tensor:
        """The voice of references (B, R)."""
        return torch.cat([self.voice(self._stages(row, self.voice_stage + 1)) for row in self._rows(wav, lengths)])

    def _rows(self, wav: Tensor, lengths: Tensor) -> list[Tensor]:
        """Equal rows stay one batch; others are cut to their own length, a whole number of tokens."""
        if bool((lengths == lengths[0]).all()):
            rows = [wav[:, : int(lengths[0])]]
        else:
            rows = [row[None, : int(length)] for row, length in zip(wav, lengths, strict=True)]
        return [F.pad(row, (0, -row.shape[1] % self.hop_samples)) for row in rows]

    def _stages(self, wav: Tensor, count: int | None = None) -> Tensor:
        """Output of the first `count` stages, or of all."""
        x = self.conv_pre(wav[:, None])
        for stage, down in enumerate(self.ups[:count]):
            x = down(F.leaky_relu(x, SLOPE))
            total = None
            for index in range(stage * self.block_count, (stage + 1) * self.block_count):
                block = self.resblocks[index](x)
                total = self.normalize[index](block if total is None else total + block)
            x = total / self.block_count
        return x
