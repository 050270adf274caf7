"""Stage 1.1: the speech encoder learns by CTC (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import editdistance
from torch import Tensor, nn

from freeze_omni.data.augment import AugmentConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.spec_augment import SpecAugmentConfig, build_spec_augment


@dataclass(frozen=True, kw_only=True)
class EncoderModelConfig:
    """Keys under `model:` of stage 1.1.

    Attributes:
        augment: rooms, noises, levels put on training speech on the fly.
        spec_augment: masks put on its features.
    """

    encoder: EncoderConfig
    fbank: FbankConfig = field(default_factory=FbankConfig)
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None


class EncoderModel(PartsModel):
    """Speech to CTC units. Parts: encoder, ctc."""

    def __init__(self, parts: Mapping[str, nn.Module], config: EncoderModelConfig, trained: tuple[str, ...]):
        super().__init__(parts, trained)
        self.fbank = Fbank(config.fbank)
        self.spec_augment = None if config.spec_augment is None else build_spec_augment(config.spec_augment)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """speech (B, S) at 16 kHz in [-1, 1], text (B, U) unit ids; both right-padded.

        Returns:
            loss (CTC, mean over utterances), stats (in validation also `unit_error`, edits per
            unit), weight.
        """
        feats, lengths = self.fbank(speech, speech_lengths)
        augment = self.spec_augment if self.training else None
        frames, lengths = self.encoder(feats, lengths, augment=augment)
        logits = self.ctc(frames)
        loss = self.ctc.loss(logits, lengths, text, text_lengths)
        stats = {}
        if not self.training:
            references = [row[:size].tolist() for row, size in zip(text, text_lengths, strict=True)]
            stats["unit_error"] = unit_error(self.ctc.greedy(logits, lengths), references)
        return training_result(loss, stats, rows=len(speech))

    def collect_feats(self, speech: Tensor, speech_lengths: Tensor, **_: object) -> dict[str, Tensor]:
        """Raw features, of which ESPnet sums the statistics for CMVN."""
        feats, lengths = self.fbank(speech, speech_lengths)
        return {"feats": feats, "feats_lengths": lengths}


def unit_error(hypotheses: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """Edits per reference unit over a batch."""
    pairs = zip(hypotheses, references, strict=True)
    edits = sum(editdistance.eval(list(hyp), list(ref)) for hyp, ref in pairs)
    return edits / max(1, sum(map(len, references)))
