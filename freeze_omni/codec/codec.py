"""The single-codebook speech codec: audio to tokens and a voice, and back, all at once or streaming."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.codec.base import BaseCodec, Device, full_lengths
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.external import build_external
from freeze_omni.codec.quantiser import GlobalQuantiser, Quantiser
from freeze_omni.codec.spectral import SpectralDecoder, SpectralEncoder
from freeze_omni.codec.time_domain import TimeDecoder, TimeEncoder
from freeze_omni.shapes import valid_mask
from freeze_omni.streaming import State


@dataclass
class CodecPass:
    """One training pass: audio (B, S), tokens (B, T), voices (B, D) before they are quantised, and losses, scalars."""

    wav: Tensor
    tokens: Tensor
    voice: Tensor
    commitment: Tensor  # squared distance of latents to their codes, summed over dimensions
    mean_commitment: Tensor  # the same, averaged over them
    preview: Tensor  # distance of the mel frames that the decoder expects before it makes audio; 0 without mel frames


class Codec(BaseCodec):
    """Codec of the paper (section 3.3.1): 24 kHz, 40 tokens a second, one codebook, one global (speaker) code."""

    def __init__(self, config: CodecConfig):
        super().__init__(config)
        if config.architecture == "spectral":
            self.encoder: nn.Module = SpectralEncoder(config)
            self.decoder: nn.Module = SpectralDecoder(config)
        else:
            self.encoder = TimeEncoder(config)
            self.decoder = TimeDecoder(config)
        self.quantiser = Quantiser(config.quantiser, self.encoder.latent_dim)
        self.global_quantiser = GlobalQuantiser(config.global_code) if config.global_code.tokens else None

    @property
    def delay_tokens(self) -> int:
        return self.decoder.delay_tokens

    def forward(self, wav: Tensor, reference: Tensor, reference_lengths: Tensor) -> CodecPass:
        """Training: segments wav (B, S), S a multiple of the hop, with the voice of `reference` (B, R)."""
        lengths = torch.full_like(reference_lengths, wav.shape[1])
        latent, token_lengths, frames = self.encoder(wav, lengths)
        voice = self.encoder.speaker(reference, reference_lengths)
        quantised = self.quantiser(latent)
        commitment, mean_commitment, spoken = quantised.loss, quantised.loss / self.quantiser.dim, voice
        if self.global_quantiser is not None:
            spoken, _, loss = self.global_quantiser(voice)
            commitment = commitment + loss
            mean_commitment = mean_commitment + loss / self.global_quantiser.dim
        valid = valid_mask(token_lengths, latent.shape[1])
        out, preview = self.decoder(quantised.values, spoken, valid)
        distance = wav.new_zeros(()) if preview is None else (preview - frames).abs().mean()
        return CodecPass(out, quantised.tokens, voice, commitment, mean_commitment, distance)

    @torch.no_grad()
    def encode(self, wav: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        lengths = full_lengths(wav) if lengths is None else lengths
        latent, token_lengths, _ = self.encoder(wav, lengths)
        tokens = self.quantiser.tokens(latent)
        tokens = tokens.masked_fill(~valid_mask(token_lengths, tokens.shape[1]), 0)
        return tokens, token_lengths, self.global_code(wav, lengths)

    @torch.no_grad()
    def global_code(self, wav: Tensor, lengths: Tensor) -> Tensor:
        voice = self.encoder.speaker(wav, lengths)
        return voice if self.global_quantiser is None else self.global_quantiser.tokens(voice)

    def decode(self, tokens: Tensor, global_code: Tensor, lengths: Tensor | None = None) -> Tensor:
        valid = valid_mask(full_lengths(tokens) if lengths is None else lengths, tokens.shape[1])
        values = self.quantiser.lookup(tokens.masked_fill(~valid, 0))
        return self.decoder(values, self._voice(global_code, len(tokens)), valid)[0]

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype = torch.float32) -> State:
        return self.decoder.initial_state(batch_size, device, dtype)

    def step(self, tokens: Tensor, state: State, global_code: Tensor) -> tuple[Tensor, State]:
        valid = torch.ones_like(tokens, dtype=torch.bool)
        values = self.quantiser.lookup(tokens)
        return self.decoder.step(values, self._voice(global_code, len(tokens)), valid, state)

    def flush(self, state: State, global_code: Tensor) -> Tensor:
        shape = (len(next(iter(state.values()))), self.delay_tokens, self.encoder.latent_dim)
        values = next(self.parameters()).new_zeros(shape)
        valid = torch.zeros(shape[:2], dtype=torch.bool, device=values.device)
        return self.decoder.step(values, self._voice(global_code, shape[0]), valid, state)[0]

    def _voice(self, global_code: Tensor, rows: int) -> Tensor:
        voice = global_code if self.global_quantiser is None else self.global_quantiser.lookup(global_code)
        return voice.expand(rows, -1)


def build_codec(config: CodecConfig) -> BaseCodec:
    """With fresh weights; an external codec brings its own. Raises ConfigError."""
    return build_external(config) if config.architecture == "external" else Codec(config)
