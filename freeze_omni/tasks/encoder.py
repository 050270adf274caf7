"""Stage 1.1: the speech encoder is trained by CTC (paper section 3.1). `python -m freeze_omni.bin.train encoder`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import editdistance
import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.config import ConfigError
from freeze_omni.data.augment import AugmentConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.cmvn import Cmvn
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.frontend.load import describe, load_weights
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.listening import Listening
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.join import JoinConfig, draw_groups, join_features, join_labels, join_sounds
from freeze_omni.tasks.parts_model import PartsModel, Result, pairs, sound_of, training_result
from freeze_omni.tasks.preprocess import Reader, SpecAugmentConfig, build_augment, build_spec_augment
from freeze_omni.tasks.resources import Resources

BYTES = 256
BETWEEN = (ord(" ") + 1,)  # two utterances' bytes, as labels


@dataclass(frozen=True)
class SpellingConfig:
    """A second CTC loss, in training only: the bytes of the lower-cased transcript, read from an earlier block.

    Units as large as words align late; letters align early and take them along. layer: the block that is read, counted
    from 1. weight: of this loss; the units' has the rest. alone: first share of the training in which this is the only
    loss and no later block runs: units trained before anything can be heard learn when words start, not which.
    """

    layer: int = 4
    weight: float = 0.5
    alone: float = 0.0

    def __post_init__(self) -> None:
        if self.layer < 1 or not 0 < self.weight < 1 or not 0 <= self.alone < 1:
            raise ValueError("spelling: layer counts from 1, weight and alone are shares")


@dataclass(frozen=True, kw_only=True)
class EncoderModelConfig:
    """Keys under `model:` of stage 1.1, all but the encoder for training alone.

    frontend: a pretrained speech model (--encoder) makes the features; it stays frozen, and the encoder's input_size
    and subsampling follow from it. Its features may be computed once (dump_feats); augment is applied there then.
    augment: rooms, noises and levels applied to speech on the fly. spec_augment: masks applied to its features.
    spelling: a second loss on an earlier block. join: several utterances of a batch become one row.
    """

    encoder: EncoderConfig
    fbank: FbankConfig = field(default_factory=FbankConfig)
    frontend: PretrainedConfig | None = None
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    spelling: SpellingConfig | None = None
    join: JoinConfig | None = None

    def __post_init__(self) -> None:
        if self.spelling is not None and self.spelling.layer > self.encoder.layers:
            raise ValueError(f"spelling: layer {self.spelling.layer} of {self.encoder.layers} layers")


class EncoderModel(PartsModel):
    """Speech to CTC units. Parts: encoder, ctc, and frontend and spelling if configured."""

    def __init__(self, parts: Mapping[str, nn.Module], config: EncoderModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, trained)
        if config.frontend is None:
            self.frontend = Fbank(config.fbank)
        self.sample_hz = config.fbank.sample_hz
        self.spec_augment = build_spec_augment(config.spec_augment)
        self.spelt, self.join = config.spelling, config.join

    def forward(self, **batch: Tensor) -> Result:
        """speech (B, S) at 16 kHz in [-1, 1], or feats (B, F, D), text (B, U) unit ids, spelling (B, C) byte labels,
        and lengths.

        The loss is a mean over utterances, in training with the spelling's; stats have `unit_error` in validation.
        """
        speech, (text, letters) = sound_of(batch), pairs(batch, "text", "spelling")
        rows = len(speech[0])
        if self.join is not None and self.training:
            groups = draw_groups(rows, self.join.utterances)
            if "feats" in batch:
                speech = join_features(*speech, groups)
            else:
                speech = join_sounds(*speech, groups, self.join, self.sample_hz)
            text, letters = join_labels(*text, groups), join_labels(*letters, groups, BETWEEN)
            rows = len(groups)
        feats, lengths = self._features(*speech)
        augment, spelt = (self.spec_augment, self.spelt) if self.training else (None, None)
        taps: list[Tensor] = []
        if spelt is not None and self.progress < spelt.alone:
            _, lengths = self.encoder(feats, lengths, augment=augment, taps=taps, layers=spelt.layer)
            loss = self._spelling_loss(taps, lengths, *letters)
            return training_result(loss, {"spelling": loss}, rows)
        frames, lengths = self.encoder(feats, lengths, augment=augment, taps=taps)
        logits = self.ctc(frames)
        loss = self.ctc.loss(logits, lengths, *text)
        stats: dict[str, Tensor | float] = {"units": loss}
        if spelt is not None:
            stats["spelling"] = second = self._spelling_loss(taps, lengths, *letters)
            loss = (1 - spelt.weight) * loss + spelt.weight * second
        if not self.training:
            references = [row[:size].tolist() for row, size in zip(*text, strict=True)]
            stats["unit_error"] = unit_error(self.ctc.greedy(logits, lengths), references)
        return training_result(loss, stats, rows)

    def _spelling_loss(self, taps: list[Tensor], lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        letters = self.spelling(taps[self.spelt.layer - 1])
        return self.spelling.loss(letters, lengths, labels, label_lengths)

    def _features(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        listening = Listening(self.frontend, self.encoder, self.ctc)
        return listening.features(*listening.with_end(speech, lengths))

    def collect_feats(self, **batch: Tensor) -> dict[str, Tensor]:
        """Raw features, of which ESPnet sums the statistics for CMVN."""
        feats, lengths = self._features(*sound_of(batch))
        return {"feats": feats, "feats_lengths": lengths}


class EncoderTask(BaseTask):
    """Reads wav.scp (16 kHz) and text; trains encoder and CTC head."""

    config_class = EncoderModelConfig
    files = {"speech": ("wav.scp", "sound"), "text": ("text", "text")}

    @classmethod
    def set_up(cls, args: argparse.Namespace) -> tuple[EncoderModelConfig, Resources]:
        config, resources = super().set_up(args)
        return with_speech_model(config, resources.encoder), resources

    @classmethod
    def build_parts(cls, config: EncoderModelConfig, resources: Resources) -> dict[str, nn.Module]:
        encoder = SpeechEncoder(config.encoder)
        parts: dict[str, nn.Module] = {}
        if config.frontend is not None:
            parts["frontend"] = frontend = build_frontend(config.frontend)
            if resources.loads:
                load_weights(frontend, resources.encoder)
        parts |= {"encoder": encoder, "ctc": CtcHead(encoder.output_size, resources.unit_size)}
        return parts if config.spelling is None else parts | {"spelling": CtcHead(encoder.output_size, BYTES + 1)}

    @classmethod
    def assemble(cls, config: EncoderModelConfig, parts: dict[str, Any], resources: Resources) -> EncoderModel:
        if resources.cmvn is not None:
            parts["encoder"].cmvn.load_state_dict(read_cmvn(resources.cmvn).state_dict())
        return EncoderModel(parts, config, cls.trained(config, parts))

    @classmethod
    def preprocess(cls, config: EncoderModelConfig, resources: Resources, train: bool) -> Preprocess:
        texts = {"text": ("text", resources.units.encode), "spelling": ("text", spell_bytes)}
        return Reader(texts, ("speech",), build_augment(config.augment, train, cls.sample_hz))


def with_speech_model(config: EncoderModelConfig, source: str | None) -> EncoderModelConfig:
    """The configuration with that of its pretrained encoder, and the sizes that follow from it. Raises ConfigError."""
    if config.frontend is None:
        if source is not None:
            raise ConfigError(f"--encoder {source}: the configuration has no `model: frontend`; take one that has")
        return config
    if source is None:
        raise ConfigError("`model: frontend` needs the pretrained encoder: give --encoder")
    try:
        frontend = replace(config.frontend, model=describe(source))
        with torch.device("meta"):
            size = build_frontend(frontend).output_size
        encoder = replace(config.encoder, input_size=size, subsampling="none", chunk_frames=frontend.chunk_frames)
    except ValueError as error:
        raise ConfigError(f"--encoder {source}: {error}") from None
    return replace(config, frontend=frontend, encoder=encoder)


def spell_bytes(text: str) -> list[int]:
    """The transcript's bytes, lower-cased, as labels of a CTC head (0 is the blank)."""
    return [byte + 1 for byte in " ".join(text.lower().split()).encode()]


def unit_error(hypotheses: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """Edits per reference unit over a batch."""
    edits = sum(editdistance.eval(list(hyp), list(ref)) for hyp, ref in zip(hypotheses, references, strict=True))
    return edits / max(1, sum(map(len, references)))


def read_cmvn(path: str) -> Cmvn:
    """From the feats_stats.npz that `--collect_stats true` wrote. Raises ConfigError if it cannot be used."""
    try:
        with np.load(path) as stats:
            sums = (torch.from_numpy(stats["sum"]), torch.from_numpy(stats["sum_square"]))
            return Cmvn.from_sums(float(stats["count"]), *sums)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"--cmvn {path}: {error}; make it with --collect_stats true (stage 3)") from None
