"""The time-domain architecture of the published checkpoint: convolutions down to tokens and up to samples."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from freeze_omni.codec.config import CodecConfig, TimeDomainConfig
from freeze_omni.shapes import pad_rows
from freeze_omni.streaming import State

LATENT_DIM = 512
FIRST_CHANNELS = 32  # of the encoder
GROUP_CHANNELS = 16
ENDS_KERNEL = 7
SLOPE = 0.1  # of every LeakyReLU, except the one before the encoder's last convolution
LAST_SLOPE = 0.01


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


BLOCKS = {"1": PairedBlock, "2": SingleBlock}


class VoiceEncoder(nn.Module):
    """Frames of one stage to voice vectors (B, D): convolutions, mean over time, a projection.

    The frames come as batches (b, C, T) of rows of one length; the norm reads all rows together.
    """

    def __init__(self, conv: tuple[int, int, int, int, int], dim: int):
        super().__init__()
        inputs, hidden, outputs, kernel, stride = conv
        widths = [inputs, hidden, hidden, outputs]
        padding = (kernel - stride) // 2
        self.conv = nn.ModuleList(nn.Conv1d(a, b, kernel, stride, padding, bias=False) for a, b in pairwise(widths))
        self.linear = nn.Linear(outputs, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, batches: Iterable[Tensor]) -> Tensor:
        means = []
        for x in batches:
            for conv in self.conv:
                x = F.leaky_relu(conv(x), SLOPE)
            means.append(x.mean(-1))
        return self.norm(F.leaky_relu(self.linear(torch.cat(means)), SLOPE))


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
                self.resblocks.append(BLOCKS[time_domain.block](channels, size, dilations))
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
        return self.voice(self._stages(row, self.voice_stage + 1) for row in self._rows(wav, lengths))

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
                self.resblocks.append(BLOCKS[time_domain.block](channels, size, dilations))
        self.block_count = len(time_domain.block_kernels)
        self.conv_post = normed_conv(channels, 1, ENDS_KERNEL)

    def forward(self, values: Tensor, voice: Tensor, valid: Tensor) -> tuple[Tensor, None]:
        """All at once; tokens where `valid` (B, T) is False count as absent. No preview: there are no mel frames."""
        present = None if bool(valid.all()) else valid
        x = self.conv_pre(keep_present(values.transpose(1, 2), present))
        for stage, up in enumerate(self.ups):
            x = up(keep_present(F.leaky_relu(x, SLOPE), present))
            blocks = self.resblocks[stage * self.block_count : (stage + 1) * self.block_count]
            x = sum(block(x, present) for block in blocks) / self.block_count
            if self.voice_after[stage]:
                x = x + voice[..., None]
        x = self.conv_post(keep_present(F.leaky_relu(x, SLOPE), present))
        return keep_present(torch.tanh(x), present).squeeze(1), None

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
        wav, _ = self.forward(values, voice, valid)
        first = self.delay_tokens * self.hop_samples
        held = values.shape[1] - 2 * self.delay_tokens
        state = {"values": values[:, held:], "valid": valid[:, held:]}
        return wav[:, first : first + held * self.hop_samples], state


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
