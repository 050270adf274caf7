"""Stage 2.1: the codec learns to copy speech (paper section 3.3.1), with or without discriminators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.codec.codec import CodecPass
from freeze_omni.codec.losses import ReconstructionLoss
from freeze_omni.codec.quantiser import token_usage
from freeze_omni.tasks.codec_config import CodecModelConfig
from freeze_omni.tasks.codec_cuts import cut
from freeze_omni.tasks.parts_model import PartsModel, training_result

USAGE_DECAY = 0.98  # token counts fade over about fifty batches


class CodecModel(PartsModel):
    """Audio to tokens to audio, trained by reconstruction alone. Part: codec."""

    def __init__(self, parts: Mapping[str, nn.Module], config: CodecModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, trained)
        self.config = config
        self.reconstruction = ReconstructionLoss(config.reconstruction, config.codec.sample_rate_hz)
        counts = torch.zeros(config.codec.quantiser.codebook_size)
        self.register_buffer("token_counts", counts, persistent=False)

    def forward(self, speech: Tensor, speech_lengths: Tensor, **_: object) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """speech (B, S) at 24 kHz in [-1, 1], right-padded.

        Returns: loss; stats: mel (and stft) distance, commitment, preview, perplexity and number of the codes in recent
            use; weight.
        """
        target, copied = self._copy(speech, speech_lengths)
        loss, stats = self._reconstruction(target, copied)
        return training_result(loss, stats, rows=len(speech))

    def _copy(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, CodecPass]:
        config, random = self.config, self.training
        target = cut(speech, lengths, config.segment_samples, random)
        reference = cut(speech, lengths, config.reference_samples, random)
        if random and config.gain != (1.0, 1.0):
            gain = torch.empty(len(speech), 1, device=speech.device).uniform_(*config.gain)
            target, reference = gain * target, gain * reference
        sizes = torch.full_like(lengths, config.reference_samples).minimum(lengths)
        return target, self.codec(target, reference, sizes)

    def _reconstruction(self, target: Tensor, copied: CodecPass) -> tuple[Tensor, dict[str, Any]]:
        stats: dict[str, Any] = self.reconstruction(copied.wav, target)
        loss = stats.pop("loss") + self.config.commitment_weight * copied.commitment
        loss = loss + self.config.preview_weight * copied.preview
        stats |= {"commitment": copied.commitment, "preview": copied.preview}
        return loss, stats | self._usage(copied.tokens)

    def _usage(self, tokens: Tensor) -> dict[str, Tensor]:
        size = len(self.token_counts)
        counts = torch.bincount(tokens.reshape(-1), minlength=size)
        self.token_counts.mul_(USAGE_DECAY).add_(counts)
        return token_usage(self.token_counts)

    def train(self, mode: bool = True) -> CodecModel:
        """Training and validation count their tokens apart."""
        if mode != self.training and hasattr(self, "token_counts"):
            self.token_counts.zero_()
        return super().train(mode)
