"""Stage 1.3: prompt embedding and state head learn; encoder, adapter and LLM stay as they are
(paper section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.data.augment import AugmentConfig
from freeze_omni.duplex.state_head import NO_LABEL, STATES, StateHeadConfig, chunk_hidden
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import LlmTuningConfig
from freeze_omni.shapes import valid_mask
from freeze_omni.tasks.listening import Heard, listen
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.rows import Joined, join, predicting, text_loss, with_end
from freeze_omni.tasks.spec_augment import SpecAugmentConfig, build_spec_augment


@dataclass(frozen=True, kw_only=True)
class DialogueModelConfig:
    """Keys under `model:` of stage 1.3; encoder, fbank and adapter come with the parts of stage
    1.2.

    Attributes:
        prompt: number of prompt vectors, the same in all turns (published: 25).
        state_weight: of the state loss beside the answer's.
        augment, spec_augment: as in stage 1.1, but without a change of speed.
        llm_tuning: what else is learned beside the LLM (ours); none is the paper's way.
    """

    encoder: EncoderConfig
    adapter: AdapterChoice
    fbank: FbankConfig = field(default_factory=FbankConfig)
    prompt: int = 25
    state_head: StateHeadConfig = field(default_factory=StateHeadConfig)
    state_weight: float = 1.0
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    llm_tuning: LlmTuningConfig | None = None

    def __post_init__(self) -> None:
        if self.augment is not None and self.augment.speed != (1.0, 1.0):
            raise ValueError("augment: speed would move the states' times: leave it at [1, 1]")


class DialogueModel(PartsModel):
    """A spoken question to its answer and to the state of every chunk. Parts: prompt, state_head;
    others frozen."""

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        config: DialogueModelConfig,
        trained: tuple[str, ...],
        llm: FrozenLLM,
    ):
        super().__init__({**parts, "llm": llm}, trained)
        self.config = config
        self.fbank = Fbank(config.fbank)
        self.spec_augment = None if config.spec_augment is None else build_spec_augment(config.spec_augment)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        context: Tensor,
        context_lengths: Tensor,
        states: Tensor,
        states_lengths: Tensor,
        answer: Tensor,
        answer_lengths: Tensor,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """One user turn for each row.

        speech (B, S) at 16 kHz; context (B, K) LLM ids up to where the user's turn opens; states
        (B, C), one for each 160 ms chunk, -1 without label; answer (B, N) LLM ids, none where the
        turn is not to be answered.
        """
        with torch.no_grad():
            augment = self.spec_augment if self.training else None
            heard = listen(self, self.fbank, speech, speech_lengths, augment)
        targets, target_lengths = with_end(answer, answer_lengths, self.llm.chat.end_id)
        target_lengths = target_lengths.where(answer_lengths > 0, 0)
        joined = self._joined(heard, context, context_lengths, targets, target_lengths)
        hidden, _ = self.llm(joined.embeds, joined.mask)
        loss_answer, acc = self._answer_loss(hidden, joined, targets, target_lengths)
        loss_state, stats = self._state_loss(hidden, joined, heard, states, states_lengths)
        stats |= {"loss_answer": loss_answer, "acc": acc, "loss_state": loss_state}
        return training_result(loss_answer + self.config.state_weight * loss_state, stats, rows=len(speech))

    def _joined(
        self,
        heard: Heard,
        context: Tensor,
        context_lengths: Tensor,
        targets: Tensor,
        target_lengths: Tensor,
    ) -> Joined:
        """Context, prompt, speech; then, where there is an answer, the turn's end and the
        answer."""
        rows = len(context)
        prompt = self.prompt.weight.expand(rows, -1, -1)
        suffix = torch.tensor(self.llm.chat.user_suffix(), device=context.device).expand(rows, -1)
        answered = target_lengths > 0
        return join(
            [
                (self.llm.embed(context.clamp(min=0)), context_lengths),
                (prompt, torch.full_like(context_lengths, prompt.shape[1])),
                (heard.adapted.embeds, heard.adapted.lengths),
                (self.llm.embed(suffix), suffix.shape[1] * answered.long()),
                (self.llm.embed(targets), (target_lengths - 1).clamp(min=0)),
            ]
        )

    def _answer_loss(
        self, hidden: Tensor, joined: Joined, targets: Tensor, target_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        real = valid_mask(target_lengths, targets.shape[1])
        states = predicting(hidden, joined.starts[:, 4], torch.full_like(target_lengths, targets.shape[1]))
        return text_loss(self.llm.logits(states[real]), targets[real])

    def _state_loss(
        self, hidden: Tensor, joined: Joined, heard: Heard, states: Tensor, states_lengths: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read at each chunk's last sent position; where none was sent yet, at the prompt's."""
        chunks = min(states.shape[1], heard.adapted.ends.shape[1])
        at_ends = chunk_hidden(hidden, joined.starts[:, 2], heard.adapted.ends[:, :chunks])
        logits = self.state_head(at_ends, heard.adapted.summary[:, :chunks])
        real = valid_mask(states_lengths, states.shape[1])
        labels = states.masked_fill(~real, NO_LABEL)[:, :chunks]
        guesses = logits.argmax(-1)
        # a mean over nothing is not a number, which the reporter leaves out
        recalls = {f"recall_{state}": (guesses == state)[labels == state].float().mean() for state in range(STATES)}
        return self.state_head.loss(logits, labels), recalls
