"""The time-domain codec's generator, as in the published checkpoint: transposed convolutions up to samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from freeze_omni.codec.config import CodecConfig, TimeDomainConfig
from freeze_omni.codec.residual import SLOPE, keep_present, normed_conv, residual_block
from freeze_omni.streaming import State

LATENT_DIM = 512
ENDS_KERNEL = 7


class TimeDecoder(nn.Module):
    """Code values (B, T, 512) and a voice (B, global dim) to audio (B, T * hop).

    A streaming step decodes `delay_tokens` tokens on both sides again. If that is the receptive field (the default),
    streaming equals decoding at once: absent tokens are kept at zero in every layer, as padding is.
    """

    def __init__(self, config: CodecConfig):
        super().__init__()
        time_domain = config.time_domain
        self.hop_samples, self.voice_dim = config.hop_samples, config.global_code.dim
        context = time_domain.context_tokens
        self.delay_tokens = context_tokens(time_domain) if context is None else context
        channels = time_domain.channels
        self.conv_pre = normed_conv(LATENT_DIM, channels, ENDS_KERNEL)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        self.voice_after = []
        for rate, kernel in zip(time_domain.rates, time_domain.rate_kernels, strict=True):
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, (kernel - rate) // 2)
            self.ups.append(weight_norm(up))
            channels //= 2
            self.voice_after.append(channels == self.voice_dim)
            for size, dilations in zip(time_domain.block_kernels, time_domain.block_dilations, strict=True):
                self.resblocks.append(residual_block(time_domain.block, channels, size, dilations))
        self.block_count = len(time_domain.block_kernels)
        self.conv_post = normed_conv(channels, 1, ENDS_KERNEL)

    def forward(self, values: Tensor, voice: Tensor, valid: Tensor) -> Tensor:
        """All at once; tokens where `valid` (B, T) is False count as absent."""
        present = None if bool(valid.all()) else valid
        x = self.conv_pre(keep_present(values.transpose(1, 2), present))
        for stage, up in enumerate(self.ups):
            x = up(keep_present(F.leaky_relu(x, SLOPE), present))
            blocks = self.resblocks[stage * self.block_count : (stage + 1) * self.block_count]
            x = sum(block(x, present) for block in blocks) / self.block_count
            if self.voice_after[stage]:
                x = x + voice[..., None]
        x = self.conv_post(keep_present(F.leaky_relu(x, SLOPE), present))
        return keep_present(torch.tanh(x), present).squeeze(1)

    def with_preview(self, values: Tensor, voice: Tensor, valid: Tensor) -> tuple[Tensor, None]:
        """Audio, and no preview: this architecture has no mel frames."""
        return self.forward(values, voice, valid), None

    def initial_state(self, batch_size: int, device: torch.device | None, dtype: torch.dtype) -> State:
        held = 2 * self.delay_tokens
        return {
            "values": torch.zeros(batch_size, held, LATENT_DIM, device=device, dtype=dtype),
            "valid": torch.zeros(batch_size, held, dtype=torch.bool, device=device),
        }

    def step(self, values: Tensor, voice: Tensor, valid: Tensor, state: State) -> tuple[Tensor, State]:
        """New values (B, k, 512) to (B, k * hop) samples, late by the delay and silent before it."""
        values = torch.cat([state["values"], values], dim=1)
        valid = torch.cat([state["valid"], valid], dim=1)
        wav = self.forward(values, voice, valid)
        first, last = self.delay_tokens, values.shape[1] - self.delay_tokens
        held = values.shape[1] - 2 * self.delay_tokens
        state = {"values": values[:, held:], "valid": valid[:, held:]}
        return wav[:, first * self.hop_samples : last * self.hop_samples], state


def context_tokens(config: TimeDomainConfig) -> int:
    """Tokens on each side of a sample's own token that the generator looks at."""
    samples = ENDS_KERNEL // 2  # of the last convolution, at the output's rate
    hop = 1
    for rate, kernel in reversed(list(zip(config.rates, config.rate_kernels, strict=True))):
        reach = max(
            (size - 1) // 2 * sum(d + (1 if config.block == "1" else 0) for d in dilations)
            for size, dilations in zip(config.block_kernels, config.block_dilations, strict=True)
        )
        samples += (reach + kernel - 1) * hop
        hop *= rate
    return -(-(samples + ENDS_KERNEL // 2 * hop) // hop)
