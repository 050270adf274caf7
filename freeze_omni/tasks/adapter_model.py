"""Stage 1.2: encoder, adapter and task tokens learn through the frozen LLM, which has to write the transcript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import STRIDE
from freeze_omni.data.augment import AugmentConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import LlmTuningConfig
from freeze_omni.shapes import valid_mask
from freeze_omni.tasks.alignment import unit_ends
from freeze_omni.tasks.answer_loss import Turn, answer_turn
from freeze_omni.tasks.listening import Heard, listen
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.rows import join, predicting, text_loss, with_end
from freeze_omni.tasks.spec_augment import SpecAugmentConfig, build_spec_augment
from freeze_omni.tasks.warm_start import WarmStartConfig, aligned_units, alignment_loss

Result = tuple[Tensor, dict[str, Tensor], Tensor]
TURN = tuple(f"{name}{kind}" for name in ("context", "question", "answer") for kind in ("", "_lengths"))


@dataclass(frozen=True, kw_only=True)
class AdapterModelConfig:
    """Keys under `model:` of stage 1.2; `encoder` and `fbank` come with the encoder of stage 1.1.

    Attributes:
        task_tokens: learned vectors in front of the speech (the paper: "a few").
        targets: what the LLM has to write: the transcript (the paper's way), or, in a dialogue, its own answer to
            the transcript (ours). kl_weight: with answers, as in stage 1.3.
        ctc_weight: of the CTC loss beside the LLM's; 0 is the paper's way and leaves the CTC head
            alone. The CTC adapter needs it, or its spikes drift.
        augment, spec_augment: as in stage 1.1.
        warm_start: for the convolution adapter; none is the paper's way.
        llm_tuning: what else is learned beside the LLM (ours); none is the paper's way.
    """

    encoder: EncoderConfig
    adapter: AdapterChoice
    fbank: FbankConfig = field(default_factory=FbankConfig)
    task_tokens: int = 4
    targets: Literal["transcript", "answers"] = "transcript"
    kl_weight: float = 0.0
    ctc_weight: float = 0.0
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    warm_start: WarmStartConfig | None = None
    llm_tuning: LlmTuningConfig | None = None

    def __post_init__(self) -> None:
        if self.warm_start is not None and self.adapter.conv is None:
            raise ValueError("warm_start is for the convolution adapter; remove it")
        if self.kl_weight and self.targets != "answers":
            raise ValueError("kl_weight compares answers: set targets: answers")


class AdapterModel(PartsModel):
    """Speech to transcript, or answer, through the LLM. Parts: encoder, ctc, adapter, task_tokens; frozen: llm.

    unit_table (V, E): the LLM's embedding of each CTC unit, the filler's in the blank's row; for the warm start.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        config: AdapterModelConfig,
        trained: tuple[str, ...],
        llm: FrozenLLM,
        unit_table: Tensor | None = None,
    ):
        super().__init__({**parts, "llm": llm}, trained)
        self.config = config
        self.fbank = Fbank(config.fbank)
        self.spec_augment = None if config.spec_augment is None else build_spec_augment(config.spec_augment)
        self.register_buffer("unit_table", unit_table, persistent=False)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        units: Tensor,
        units_lengths: Tensor,
        **turn: Tensor,
    ) -> Result:
        """speech (B, S) at 16 kHz, text (B, N) the transcript in LLM tokens, units (B, U) in CTC
        units; turn: context, question and answer as in stage 1.3, and their lengths, for answers as targets."""
        augment = self.spec_augment if self.training else None
        heard = listen(self, self.fbank, speech, speech_lengths, augment)
        stats = {}
        if self.training and self.config.warm_start is not None and self.progress < self.config.warm_start.share:
            loss, stats["nearest"] = self._alignment_loss(heard, units, units_lengths)
        elif self.config.targets == "answers":
            loss, stats = self._answer_loss(heard, **{name: turn[name] for name in TURN})
        else:
            loss, stats["acc"] = self._transcript_loss(heard, text, text_lengths)
        if self.config.ctc_weight:
            stats["loss_ctc"] = ctc = self._ctc_loss(heard, units, units_lengths, turn)
            loss = loss + self.config.ctc_weight * ctc
        stats["positions"] = heard.adapted.lengths.float().mean()
        return training_result(loss, stats, rows=len(speech))

    def _ctc_loss(self, heard: Heard, units: Tensor, units_lengths: Tensor, turn: Mapping[str, Tensor]) -> Tensor:
        """Of all rows; where answers are the targets of the answered ones alone: scenes that are cut off have the whole
        sentence as their text."""
        if self.config.targets == "answers":
            rows = turn["answer_lengths"] > 0
            if not rows.any():
                return heard.logits.sum() * 0.0
            return self.ctc.loss(heard.logits[rows], heard.lengths[rows], units[rows], units_lengths[rows])
        return self.ctc.loss(heard.logits, heard.lengths, units, units_lengths)

    def _transcript_loss(self, heard: Heard, text: Tensor, text_lengths: Tensor) -> tuple[Tensor, Tensor]:
        adapted = heard.adapted
        targets, target_lengths = with_end(text, text_lengths, self.llm.chat.end_id)
        tasks = self.task_tokens.weight.expand(len(text), -1, -1)
        joined = join(
            [
                (tasks, torch.full_like(text_lengths, tasks.shape[1])),
                (adapted.embeds, adapted.lengths),
                (self.llm.embed(targets), target_lengths - 1),
            ]
        )
        hidden, _ = self.llm(joined.embeds, joined.mask)
        states = predicting(hidden, joined.starts[:, 2], target_lengths)
        real = valid_mask(target_lengths, targets.shape[1])
        return text_loss(self.llm.logits(states[real]), targets[real])

    def _answer_loss(
        self,
        heard: Heard,
        context: Tensor,
        context_lengths: Tensor,
        question: Tensor,
        question_lengths: Tensor,
        answer: Tensor,
        answer_lengths: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tasks = self.task_tokens.weight.expand(len(answer), -1, -1)
        task_lengths = torch.full_like(answer_lengths, tasks.shape[1])
        pieces = [(tasks, task_lengths), (heard.adapted.embeds, heard.adapted.lengths)]
        turn = Turn((context, context_lengths), (question, question_lengths), (answer, answer_lengths))
        loss, stats, _ = answer_turn(self.llm, turn, pieces, self.config.kl_weight)
        return loss, stats

    def _alignment_loss(self, heard: Heard, units: Tensor, units_lengths: Tensor) -> tuple[Tensor, Tensor]:
        ends = unit_ends(heard.logits, heard.lengths, units, units_lengths, self.ctc.blank)
        size = heard.adapted.embeds.shape[1]
        wanted = aligned_units(ends, units, heard.adapted.lengths, STRIDE, size)
        return alignment_loss(heard.adapted, wanted, self.unit_table, self.config.warm_start)
