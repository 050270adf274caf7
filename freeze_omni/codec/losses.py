"""Reconstruction losses of the codec: log-mel at several resolutions, and STFT magnitudes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.codec.logmel import LogMel


@dataclass(frozen=True)
class ReconstructionConfig:
    """Windows (samples; shift a quarter) and their mel bins; per_step > 0: so many of them, drawn for each step.

    weights: of the windows' distances, which are then added up; none: their mean.
    """

    windows_samples: tuple[int, ...] = (512, 1024, 2048)
    mel_bins: tuple[int, ...] = (40, 80, 120)
    mel_weight: float = 1.0
    stft_weight: float = 0.0
    per_step: int = 0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.windows_samples):
            raise ValueError("weights must have as many entries as windows_samples, or none")
        if len(self.windows_samples) != len(self.mel_bins):
            raise ValueError("windows_samples and mel_bins must have the same number of entries")


class ReconstructionLoss(nn.Module):
    """Mean or weighted sum over resolutions of L1 between log-mels, plus L1 of log-magnitudes by `stft_weight`."""

    def __init__(self, config: ReconstructionConfig, sample_rate_hz: int):
        super().__init__()
        self.config = config
        self.spectra = nn.ModuleList(
            LogMel(sample_rate_hz, window, window // 4, bins)
            for window, bins in zip(config.windows_samples, config.mel_bins, strict=True)
        )

    def forward(self, wav: Tensor, target: Tensor) -> dict[str, Tensor]:
        """wav and target (B, S) to the scalars `mel`, `stft` (where weighted) and their weighted `loss`."""
        mels, stfts = [], []
        count = self.config.per_step if self.training and self.config.per_step else len(self.spectra)
        for index in torch.randperm(len(self.spectra))[:count].tolist():
            spectrum = self.spectra[index]
            ours = spectrum.magnitudes(wav)
            with torch.no_grad():
                theirs = spectrum.magnitudes(target)
                mel = spectrum.from_magnitudes(theirs)
            distance = (spectrum.from_magnitudes(ours) - mel).abs().mean()
            mels.append(self.config.weights[index] * distance if self.config.weights else distance)
            if self.config.stft_weight:
                ours, theirs = (one.clamp(min=spectrum.floor).log() for one in (ours, theirs))
                stfts.append((ours - theirs).abs().mean())
        mel = torch.stack(mels).sum() if self.config.weights else torch.stack(mels).mean()
        parts = {"mel": mel, "loss": self.config.mel_weight * mel}
        if stfts:
            parts["stft"] = torch.stack(stfts).mean()
            parts["loss"] = parts["loss"] + self.config.stft_weight * parts["stft"]
        return parts
