"""What stage 2.1 is told under `model:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.losses import ReconstructionConfig


@dataclass(frozen=True)
class GanConfig:
    """Discriminators of ESPnet and the weights of their losses.

    Attributes:
        discriminator: of HiFi-GAN multi_period or multi_scale_multi_period, or multi_scale_stft,
            for which ESPnet needs torchaudio.
        discriminator_conf: its keyword arguments.
        start: share of the training after which the discriminators come in.
    """

    discriminator: Literal["multi_period", "multi_scale_multi_period", "multi_scale_stft"] = "multi_scale_multi_period"
    discriminator_conf: dict[str, Any] = field(default_factory=dict)
    start: float = 0.0
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0


@dataclass(frozen=True, kw_only=True)
class CodecModelConfig:
    """Keys under `model:` of stage 2.1; without `gan` only reconstruction is trained.

    Attributes:
        segment_s, reference_s: lengths of the random cuts that are copied, and that give the voice;
            both are of the same utterance.
        gain: training audio is made louder or softer by a random factor between these two.
        preview_weight: of the distance between expected and true mel frames (spectral only).
    """

    codec: CodecConfig
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    segment_s: float = 1.0
    reference_s: float = 1.0
    gain: tuple[float, float] = (1.0, 1.0)
    commitment_weight: float = 0.25
    preview_weight: float = 1.0
    gan: GanConfig | None = None

    def __post_init__(self) -> None:
        codec, stages = self.codec, self.codec.time_domain
        widths = [stages.channels >> stage for stage in range(1, len(stages.rates) + 1)]
        if codec.architecture == "time_domain" and codec.global_code.dim not in widths:
            raise ValueError(f"no stage of the generator has {codec.global_code.dim} channels, the global code's width")

    @property
    def segment_samples(self) -> int:
        """A whole number of tokens."""
        return self._whole(self.segment_s)

    @property
    def reference_samples(self) -> int:
        return self._whole(self.reference_s)

    def _whole(self, seconds: float) -> int:
        hop = self.codec.hop_samples
        return max(1, round(seconds * self.codec.sample_rate_hz / hop)) * hop
