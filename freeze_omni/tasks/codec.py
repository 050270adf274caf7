"""Stage 2.1: the codec learns to copy speech (paper section 3.3.1), with or without discriminators."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from espnet2.tasks.abs_task import optim_classes
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.codec.codec import Codec, CodecPass
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.losses import ReconstructionConfig, ReconstructionLoss
from freeze_omni.codec.quantiser import token_usage
from freeze_omni.tasks.base import BaseTask, Preprocess, numbers
from freeze_omni.tasks.discriminators import GanConfig, GanLosses, build_discriminator
from freeze_omni.tasks.parts_model import PartsModel, Result, training_result
from freeze_omni.tasks.preprocess import Reader
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.trainer import PartsGANTrainer, PartsTrainer

USAGE_DECAY = 0.98  # token counts fade over about fifty batches
GENERATOR, DISCRIMINATOR = 0, 1  # the optimizers, in this order


@dataclass(frozen=True, kw_only=True)
class CodecModelConfig:
    """Keys under `model:` of stage 2.1; without `gan` only reconstruction is trained.

    segment_s, reference_s: lengths of the random cuts of an utterance that are copied, and that give the voice. gain:
    range of random factors on training audio. commitment: squared distances added up over a code's dimensions, or
    their mean. time_invariance_weight: TiCodec's; if it is not 0, a segment is copied with its own voice, which learns
    to point where that of the reference does. preview_weight: of the distance between expected and true mel frames
    (spectral only).
    """

    codec: CodecConfig
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    segment_s: float = 1.0
    reference_s: float = 1.0
    gain: tuple[float, float] = (1.0, 1.0)
    commitment: Literal["sum", "mean"] = "sum"
    commitment_weight: float = 0.25
    time_invariance_weight: float = 0.0
    preview_weight: float = 1.0
    gan: GanConfig | None = None

    def __post_init__(self) -> None:
        codec, stages = self.codec, self.codec.time_domain
        widths = [stages.channels >> stage for stage in range(1, len(stages.rates) + 1)]
        if codec.architecture == "time_domain" and codec.global_code.dim not in widths:
            raise ValueError(f"no stage of the generator has {codec.global_code.dim} channels, the global code's width")

    def samples(self, seconds: float) -> int:
        """A whole number of tokens, at least one."""
        hop = self.codec.hop_samples
        return max(1, round(seconds * self.codec.sample_rate_hz / hop)) * hop


class Copy(NamedTuple):
    """A segment (B, S), its copy, and how far its voice is from that of the reference, if that is learned."""

    target: Tensor
    copied: CodecPass
    variance: Tensor | None = None


class CodecModel(PartsModel):
    """Audio to tokens to audio, trained by reconstruction alone. Part: codec."""

    def __init__(self, parts: Mapping[str, nn.Module], config: CodecModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, trained)
        self.config = config
        self.reconstruction = ReconstructionLoss(config.reconstruction, config.codec.sample_rate_hz)
        counts = torch.zeros(config.codec.quantiser.codebook_size)
        self.register_buffer("token_counts", counts, persistent=False)

    def forward(self, speech: Tensor, speech_lengths: Tensor, **_: object) -> Result:
        """speech (B, S) at 24 kHz in [-1, 1], right-padded."""
        return training_result(*self._reconstruction(*self._copy(speech, speech_lengths)), rows=len(speech))

    def _copy(self, speech: Tensor, lengths: Tensor) -> Copy:
        config, random = self.config, self.training
        reference_samples = config.samples(config.reference_s)
        target = cut(speech, lengths, config.samples(config.segment_s), random)
        reference = cut(speech, lengths, reference_samples, random)
        if random and config.gain != (1.0, 1.0):
            gain = torch.empty(len(speech), 1, device=speech.device).uniform_(*config.gain)
            target, reference = gain * target, gain * reference
        sizes = torch.full_like(lengths, reference_samples).minimum(lengths)
        if not config.time_invariance_weight:
            return Copy(target, self.codec(target, reference, sizes))
        copied = self.codec(target, target, torch.full_like(lengths, target.shape[1]).minimum(lengths))
        other = self.codec.encoder.speaker(reference, sizes).detach()
        return Copy(target, copied, 1 - F.cosine_similarity(copied.voice, other, dim=1).mean())

    def _reconstruction(
        self, target: Tensor, copied: CodecPass, variance: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        config, stats = self.config, dict[str, Any](self.reconstruction(copied.wav, target))
        commitment = copied.commitment if config.commitment == "sum" else copied.mean_commitment
        loss = stats.pop("loss") + config.commitment_weight * commitment
        loss = loss + config.preview_weight * copied.preview
        if variance is not None:
            loss = loss + config.time_invariance_weight * variance
            stats["voice_variance"] = variance
        counts = torch.bincount(copied.tokens.reshape(-1), minlength=len(self.token_counts))
        self.token_counts.mul_(USAGE_DECAY).add_(counts)
        stats |= {"commitment": commitment, "preview": copied.preview} | token_usage(self.token_counts)
        return loss, stats

    def train(self, mode: bool = True) -> CodecModel:
        """Training and validation count their tokens separately."""
        if mode != self.training and hasattr(self, "token_counts"):
            self.token_counts.zero_()
        return super().train(mode)


def cut(wav: Tensor, lengths: Tensor, samples: int, random: bool) -> Tensor:
    """A piece of each row: wav (B, S), lengths (B,) to (B, samples), a short row followed by silence; from anywhere if
    `random`, otherwise from its middle, so that validation is the same each time."""
    room = (lengths - samples).clamp(min=0)
    starts = (torch.rand(len(wav), device=wav.device) * (room + 1)).long() if random else room // 2
    wav = F.pad(wav, (0, max(0, samples - wav.shape[1])))
    index = starts[:, None] + torch.arange(samples, device=wav.device)
    return wav.gather(1, index).masked_fill(index >= lengths[:, None], 0)


class GanCodecModel(CodecModel):
    """Parts: codec, discriminator. The copy of a batch is made once, for both turns of ESPnet's GAN trainer."""

    def __init__(self, parts: Mapping[str, nn.Module], config: CodecModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, config, trained)
        self.gan, self.losses = config.gan, GanLosses(config.gan.summed)
        self._made: Copy | None = None

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, forward_generator: bool = True, **_: object
    ) -> dict[str, Any]:
        """What ESPnet's GANTrainer takes: loss, stats, weight, and whose turn it is."""
        turn = self._generator_turn if forward_generator else self._discriminator_turn
        loss, values, weight = training_result(*turn(speech, speech_lengths), rows=len(speech))
        if not forward_generator:
            values["discriminator_loss"] = values.pop("loss")
        optimizer = GENERATOR if forward_generator else DISCRIMINATOR
        return {"loss": loss, "stats": values, "weight": weight, "optim_idx": optimizer}

    def _generator_turn(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Any]]:
        made = self._made or self._copy(speech, lengths)
        self._made = None
        loss, stats = self._reconstruction(*made)
        if self.progress < self.gan.start:
            return loss, stats
        judged = self.discriminator(made.copied.wav[:, None])
        with torch.no_grad():
            true = self.discriminator(made.target[:, None])
        adversarial, features = self.losses.adversarial(judged), self.losses.features(judged, true)
        if self.training:  # a copy is not worse because its judges have become better
            loss = loss + self.gan.adversarial_weight * adversarial + self.gan.feature_weight * features
        return loss, stats | {"adversarial": adversarial, "features": features}

    def _discriminator_turn(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Any]]:
        if self.progress < self.gan.start:
            return sum(p.sum() for p in self.discriminator.parameters()) * 0.0, {}
        made = self._copy(speech, lengths)
        if self.training:
            self._made = made
        sounds = made.copied.wav.detach(), made.target
        real, fake = self.losses.judging(*(self.discriminator(sound[:, None]) for sound in sounds))
        return real + fake, {"real": real, "fake": fake}


class CodecTask(BaseTask):
    """Reads wav.scp (24 kHz); trains the codec, and with `gan` its discriminators (optim2)."""

    config_class = CodecModelConfig
    files = {"speech": ("wav.scp", "sound")}
    sample_hz = 24000
    trainer = PartsGANTrainer
    num_optimizers = 2

    @classmethod
    def build_parts(cls, config: CodecModelConfig, resources: Resources) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"codec": Codec(config.codec)}
        return parts if config.gan is None else parts | {"discriminator": build_discriminator(config.gan)}

    @classmethod
    def assemble(cls, config: CodecModelConfig, parts: dict[str, Any], resources: Resources) -> CodecModel:
        return (CodecModel if config.gan is None else GanCodecModel)(parts, config, cls.trained(config, parts))

    @classmethod
    def preprocess(cls, config: CodecModelConfig, resources: Resources, train: bool) -> Preprocess:
        return Reader({}, sound=("speech",))

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: nn.Module) -> list[torch.optim.Optimizer]:
        pairs = [(model.codec, args.optim, args.optim_conf)]
        if cls.num_optimizers == 2:
            pairs.append((model.discriminator, args.optim2, args.optim2_conf))
        return [optim_classes[name](part.parameters(), **numbers(conf)) for part, name, conf in pairs]

    @classmethod
    def settle_options(cls, args: argparse.Namespace) -> None:
        super().settle_options(args)
        if cls.num_optimizers == 2:
            args.unused_parameters = True  # in each turn the other side's weights get no gradient

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: list[str] | None = None) -> None:
        """Train with one optimizer or two: two if the configuration has a `gan`."""
        args = cls.get_parser().parse_args(cmd) if args is None else args
        task = PlainCodecTask if CodecTask.set_up(args)[0].gan is None else CodecTask
        BaseTask.main.__func__(task, args)


class PlainCodecTask(CodecTask):
    """Without discriminators: one optimizer and the ordinary trainer."""

    trainer = PartsTrainer
    num_optimizers = 1
