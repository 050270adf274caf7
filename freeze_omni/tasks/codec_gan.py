"""Stage 2.1 with discriminators: ESPnet's GAN trainer asks for both losses in turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from torch import Tensor, nn

from freeze_omni.config import ConfigError
from freeze_omni.tasks.codec_config import CodecModelConfig, GanConfig
from freeze_omni.tasks.codec_model import CodecModel
from freeze_omni.tasks.parts_model import training_result

GENERATOR, DISCRIMINATOR = 0, 1  # the optimizers, in this order


class GanCodecModel(CodecModel):
    """Parts: codec, discriminator. The copy of a batch is made once, for both turns."""

    def __init__(self, parts: Mapping[str, nn.Module], config: CodecModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, config, trained)
        self.gan = config.gan
        self.generator_loss = GeneratorAdversarialLoss()
        self.discriminator_loss = DiscriminatorAdversarialLoss()
        self.feature_loss = FeatureMatchLoss()
        self._made: tuple[Tensor, Any] | None = None

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, forward_generator: bool = True, **_: object
    ) -> dict[str, Any]:
        """What ESPnet's GANTrainer takes: loss, stats, weight, and whose turn it is."""
        if forward_generator:
            loss, stats = self._generator_turn(speech, speech_lengths)
        else:
            loss, stats = self._discriminator_turn(speech, speech_lengths)
        loss, values, weight = training_result(loss, stats, rows=len(speech))
        if not forward_generator:
            values["discriminator_loss"] = values.pop("loss")
        turn = GENERATOR if forward_generator else DISCRIMINATOR
        return {"loss": loss, "stats": values, "weight": weight, "optim_idx": turn}

    @property
    def _playing(self) -> bool:
        return self.progress >= self.gan.start

    def _generator_turn(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Any]]:
        target, copied = self._made or self._copy(speech, lengths)
        self._made = None
        loss, stats = self._reconstruction(target, copied)
        if not self._playing:
            return loss, stats
        judged = self.discriminator(copied.wav[:, None])
        with torch.no_grad():
            true = self.discriminator(target[:, None])
        adversarial, features = self.generator_loss(judged), self.feature_loss(judged, true)
        loss = loss + self.gan.adversarial_weight * adversarial
        loss = loss + self.gan.feature_weight * features
        return loss, stats | {"adversarial": adversarial, "features": features}

    def _discriminator_turn(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Any]]:
        if not self._playing:
            return sum(p.sum() for p in self.discriminator.parameters()) * 0.0, {}
        target, copied = self._copy(speech, lengths)
        if self.training:
            self._made = target, copied
        real, fake = self.discriminator_loss(
            self.discriminator(copied.wav.detach()[:, None]), self.discriminator(target[:, None])
        )
        return real + fake, {"real": real, "fake": fake}


class StftJudges(nn.Module):
    """ESPnet's multi-scale STFT discriminator, its output in the form of the others."""

    def __init__(self, **conf: Any):
        super().__init__()
        from espnet2.gan_codec.shared.discriminator.msstft_discriminator import (
            MultiScaleSTFTDiscriminator,
        )

        self.judges = MultiScaleSTFTDiscriminator(**{"filters": 32, **conf})

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        verdicts, features = self.judges(x)
        return [[*maps, verdict] for maps, verdict in zip(features, verdicts, strict=True)]


def build_discriminator(config: GanConfig) -> nn.Module:
    """audio (B, 1, S) to a list of lists of tensors, the last of each list the verdict.

    Raises ConfigError where it cannot be built.
    """
    from espnet2.gan_tts.hifigan import hifigan

    kinds = {
        "multi_period": hifigan.HiFiGANMultiPeriodDiscriminator,
        "multi_scale_multi_period": hifigan.HiFiGANMultiScaleMultiPeriodDiscriminator,
        "multi_scale_stft": StftJudges,
    }
    try:
        return kinds[config.discriminator](**config.discriminator_conf)
    except TypeError as error:
        raise ConfigError(f"model: gan: discriminator_conf: {error}") from None
    except ImportError as error:
        raise ConfigError(
            f"model: gan: discriminator {config.discriminator}: {error}; install it, or take another discriminator"
        ) from None
