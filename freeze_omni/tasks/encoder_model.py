"""Stage 1.1: the speech encoder learns by CTC (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import editdistance
from torch import Tensor, nn

from freeze_omni.data.augment import AugmentConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.tasks.join import JoinConfig, draw_groups, join_labels, join_sounds
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.spec_augment import SpecAugmentConfig, build_spec_augment


@dataclass(frozen=True)
class SpellingConfig:
    """A second CTC loss, in training alone: the bytes of the lower-cased transcript, heard by an
    earlier block. Units as large as words align late; letters align early and take them along.

    Attributes:
        layer: the block whose output is read, counted from 1.
        weight: of this loss; the units' has the rest.
        alone: share of the training, its beginning, in which there is no other loss, and no block behind
            `layer`. Units that are trained before anything can be heard learn when words begin, not which.
    """

    layer: int = 4
    weight: float = 0.5
    alone: float = 0.0

    def __post_init__(self) -> None:
        if self.layer < 1 or not 0 < self.weight < 1 or not 0 <= self.alone < 1:
            raise ValueError("spelling: layer counts from 1, weight and alone are shares")


BYTES = 256
BETWEEN = (ord(" ") + 1,)  # two utterances' bytes, as labels


def spell_bytes(text: str) -> list[int]:
    """The transcript's bytes, lower-cased, as labels of a CTC head (0 is the blank)."""
    return [byte + 1 for byte in " ".join(text.lower().split()).encode()]


@dataclass(frozen=True, kw_only=True)
class EncoderModelConfig:
    """Keys under `model:` of stage 1.1.

    Attributes:
        augment: rooms, noises, levels put on training speech on the fly.
        spec_augment: masks put on its features.
        spelling: a second loss on an earlier block; None leaves it out.
        join: several training utterances of a batch become one row; None leaves them apart.
    """

    encoder: EncoderConfig
    fbank: FbankConfig = field(default_factory=FbankConfig)
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    spelling: SpellingConfig | None = None
    join: JoinConfig | None = None

    def __post_init__(self) -> None:
        if self.spelling is not None and self.spelling.layer > self.encoder.layers:
            raise ValueError(f"spelling: layer {self.spelling.layer} of {self.encoder.layers} layers")


class EncoderModel(PartsModel):
    """Speech to CTC units. Parts: encoder, ctc, and spelling where configured."""

    def __init__(self, parts: Mapping[str, nn.Module], config: EncoderModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, trained)
        self.fbank = Fbank(config.fbank)
        self.spec_augment = None if config.spec_augment is None else build_spec_augment(config.spec_augment)
        self.spelt, self.join = config.spelling, config.join

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        spelling: Tensor,
        spelling_lengths: Tensor,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """speech (B, S) at 16 kHz in [-1, 1], text (B, U) unit ids, spelling (B, C) byte labels; all right-padded.

        Returns: loss (CTC, mean over utterances; in training with the spelling's), stats (in validation also
            `unit_error`, edits per unit), weight.
        """
        if self.join is not None and self.training:
            groups = draw_groups(len(speech), self.join.utterances)
            hz = self.fbank.config.sample_hz
            speech, speech_lengths = join_sounds(speech, speech_lengths, groups, self.join, hz)
            text, text_lengths = join_labels(text, text_lengths, groups)
            spelling, spelling_lengths = join_labels(spelling, spelling_lengths, groups, BETWEEN)
        feats, lengths = self.fbank(speech, speech_lengths)
        augment = self.spec_augment if self.training else None
        spelt = self.spelt if self.training else None
        taps: list[Tensor] = []
        if spelt is not None and self.progress < spelt.alone:
            _, lengths = self.encoder(feats, lengths, augment=augment, taps=taps, layers=spelt.layer)
            loss = self._spelling_loss(taps, lengths, spelling, spelling_lengths)
            return training_result(loss, {"spelling": loss.detach()}, rows=len(speech))
        frames, lengths = self.encoder(feats, lengths, augment=augment, taps=taps)
        logits = self.ctc(frames)
        loss = self.ctc.loss(logits, lengths, text, text_lengths)
        stats = {"units": loss.detach()}
        if spelt is not None:
            second = self._spelling_loss(taps, lengths, spelling, spelling_lengths)
            stats["spelling"] = second.detach()
            loss = (1 - spelt.weight) * loss + spelt.weight * second
        if not self.training:
            references = [row[:size].tolist() for row, size in zip(text, text_lengths, strict=True)]
            stats["unit_error"] = unit_error(self.ctc.greedy(logits, lengths), references)
        return training_result(loss, stats, rows=len(speech))

    def _spelling_loss(self, taps: list[Tensor], lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        letters = self.spelling(taps[self.spelt.layer - 1])
        return self.spelling.loss(letters, lengths, labels, label_lengths)

    def collect_feats(self, speech: Tensor, speech_lengths: Tensor, **_: object) -> dict[str, Tensor]:
        """Raw features, of which ESPnet sums the statistics for CMVN."""
        feats, lengths = self.fbank(speech, speech_lengths)
        return {"feats": feats, "feats_lengths": lengths}


def unit_error(hypotheses: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """Edits per reference unit over a batch."""
    pairs = zip(hypotheses, references, strict=True)
    edits = sum(editdistance.eval(list(hyp), list(ref)) for hyp, ref in pairs)
    return edits / max(1, sum(map(len, references)))
