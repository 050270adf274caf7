"""Discriminators of the codec's training, all of ESPnet, and their losses."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from freeze_omni.config import ConfigError

Judged = list[list[Tensor]]
"""Of each discriminator the output of every layer, the verdict last."""


@dataclass(frozen=True)
class GanConfig:
    """Discriminators of ESPnet and the weights of their losses.

    discriminator: two of HiFi-GAN; multi_scale_stft, for which ESPnet needs torchaudio; or ticodec: three scales, five
    periods and three STFTs together. discriminator_conf: keyword arguments, those of ticodec's STFTs under `stft`.
    summed: losses are added up over discriminators and layers, as TiCodec's; otherwise their mean. start: share of the
    training after which the discriminators come in.
    """

    discriminator: Literal["multi_period", "multi_scale_multi_period", "multi_scale_stft", "ticodec"] = (
        "multi_scale_multi_period"
    )
    discriminator_conf: dict[str, Any] = field(default_factory=dict)
    summed: bool = False
    start: float = 0.0
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0


def stft_judges(**conf: Any) -> nn.Module:
    """EnCodec's discriminators, of three resolutions."""
    from espnet2.gan_codec.shared.discriminator.msstft_discriminator import MultiScaleSTFTDiscriminator

    return MultiScaleSTFTDiscriminator(**{"filters": 32, **conf})


class TiCodecJudges(nn.Module):
    """All discriminators that TiCodec is trained with: of HiFi-GAN, and of EnCodec."""

    def __init__(self, stft: dict[str, Any] | None = None, **conf: Any):
        super().__init__()
        from espnet2.gan_tts.hifigan.hifigan import HiFiGANMultiScaleMultiPeriodDiscriminator

        self.waves, self.spectra = HiFiGANMultiScaleMultiPeriodDiscriminator(**conf), stft_judges(**(stft or {}))

    def forward(self, x: Tensor) -> Judged:
        return self.waves(x) + self.spectra(x)


def build_discriminator(config: GanConfig) -> nn.Module:
    """audio (B, 1, S) to `Judged`. Raises ConfigError."""
    from espnet2.gan_tts.hifigan import hifigan

    kinds = {
        "multi_period": hifigan.HiFiGANMultiPeriodDiscriminator,
        "multi_scale_multi_period": hifigan.HiFiGANMultiScaleMultiPeriodDiscriminator,
        "multi_scale_stft": stft_judges,
        "ticodec": TiCodecJudges,
    }
    try:
        return kinds[config.discriminator](**config.discriminator_conf)
    except TypeError as error:
        raise ConfigError(f"model: gan: discriminator_conf: {error}") from None
    except ImportError as error:
        problem = f"model: gan: discriminator {config.discriminator}: {error}"
        raise ConfigError(f"{problem}; install it, or use another discriminator") from None


class GanLosses(nn.Module):
    """Least squares between verdicts and 1 or 0; L1 between features, if `summed` with the verdicts among them."""

    def __init__(self, summed: bool):
        super().__init__()
        from espnet2.gan_tts.hifigan import loss  # slow to import, and only some trainings need it

        mean = {"average_by_discriminators": not summed}
        self.adversarial = loss.GeneratorAdversarialLoss(**mean)
        self.judging = loss.DiscriminatorAdversarialLoss(**mean)
        self.features = loss.FeatureMatchLoss(average_by_layers=not summed, include_final_outputs=summed, **mean)
