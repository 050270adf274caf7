"""The spectral architecture: log-mel frames in, causal ConvNeXt blocks with a fixed lookahead, inverse STFT out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.logmel import LogMel
from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.streaming import State


class ConvNextBlock(nn.Module):
    """x (B, T, width) to the same shape, padded on the left if `causal`; `condition` (B, width) adds the voice."""

    def __init__(self, width: int, kernel: int, expansion: int, causal: bool, scale: float):
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        left = self.kernel - 1 if self.causal else (self.kernel - 1) // 2
        return x + self._branch(F.pad(x, (0, 0, left, self.kernel - 1 - left)), condition)

    def step(self, x: Tensor, past: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """New frames x (B, k, width) after the last kernel - 1 inputs `past`; returns (y, new past)."""
        joined = torch.cat([past, x], dim=1)
        return x + self._branch(joined, condition), joined[:, joined.shape[1] - (self.kernel - 1) :]

    def _branch(self, padded: Tensor, condition: Tensor | None) -> Tensor:
        y = self.norm(self.depthwise(padded.transpose(1, 2)).transpose(1, 2))
        y = y if condition is None else y + condition[:, None]
        return self.narrow(F.gelu(self.widen(y))) * self.scale


class ConvNextStack(nn.Module):
    """Blocks in a row; `condition_dim` > 0 gives each block its own projection of a vector (B, condition_dim)."""

    def __init__(self, width: int, blocks: int, kernel: int, expansion: int, causal: bool, condition_dim: int = 0):
        super().__init__()
        self.width, self.kernel = width, kernel
        shape = (width, kernel, expansion, causal, 1 / max(1, blocks))
        self.blocks = nn.ModuleList(ConvNextBlock(*shape) for _ in range(blocks))
        self.conditions = nn.ModuleList(nn.Linear(condition_dim, width) for _ in range(blocks if condition_dim else 0))

    def forward(self, x: Tensor, lengths: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """x (B, T, width); frames after `lengths` (B,) count as absent, as if the row ended there."""
        keep = None if lengths is None else valid_mask(lengths, x.shape[1])[..., None]
        for index, block in enumerate(self.blocks):
            x = x if keep is None else x.masked_fill(~keep, 0)
            x = block(x, self._condition(index, condition))
        return x if keep is None else x.masked_fill(~keep, 0)

    def initial_past(self, batch_size: int, device: torch.device | None, dtype: torch.dtype) -> Tensor:
        """(B, blocks, kernel - 1, width) zeros: what a causal stack heard before its first frame."""
        return torch.zeros(batch_size, len(self.blocks), self.kernel - 1, self.width, device=device, dtype=dtype)

    def step(self, x: Tensor, past: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept = []
        for index, block in enumerate(self.blocks):
            x, rest = block.step(x, past[:, index], self._condition(index, condition))
            kept.append(rest)
        return x, torch.stack(kept, dim=1) if kept else past

    def _condition(self, index: int, condition: Tensor | None) -> Tensor | None:
        return None if condition is None else self.conditions[index](condition)


class OverlapAdd(nn.Module):
    """Spectra (B, F, window/2 + 1) to (B, F * shift): Hann windows that add up to a constant, so no edge is special."""

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
        batch, length, count, _ = parts.shape
        total = parts.new_zeros(batch, length + count - 1, self.shift_samples)
        for index in range(count):  # the i-th piece of a frame lies i shifts after its start
            total = total + F.pad(parts[:, :, index], (0, 0, index, count - 1 - index))
        return total.flatten(1)


class SpectralEncoder(nn.Module):
    """(B, S) audio to latent frames (B, T, latent_dim) and a voice vector (B, global dim), T = ceil(S / hop)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral = config.spectral
        self.hop_samples, self.latent_dim = config.hop_samples, spectral.latent_dim
        self.frames_per_token = spectral.frames_per_token
        shift = self.hop_samples // self.frames_per_token
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


class SpectralDecoder(nn.Module):
    """Code values (B, T, D) and a voice (B, dim) to audio (B, T * hop): causal, read delay_tokens late."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral = config.spectral
        self.hop_samples, self.delay_tokens = config.hop_samples, spectral.lookahead_tokens
        self.frames_per_token = spectral.frames_per_token
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

    def forward(self, values: Tensor, voice: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """All at once, tokens where `valid` (B, T) is False absent: audio, and the mel frames that were expected.

        Those (B, T, frames * mel_bins), of the coarse blocks, are for a training loss.
        """
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
