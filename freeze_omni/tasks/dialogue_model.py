"""Stage 1.3: prompt embedding and state head learn; encoder, adapter and LLM stay as they are (paper section 3.1)."""

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
from freeze_omni.tasks.answer_loss import Turn, Written, answer_turn
from freeze_omni.tasks.listening import Heard, listen
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.spec_augment import SpecAugmentConfig, build_spec_augment


@dataclass(frozen=True, kw_only=True)
class DialogueModelConfig:
    """Keys under `model:` of stage 1.3; encoder, fbank and adapter come with the parts of stage 1.2.

    Attributes:
        prompt: number of prompt vectors, the same in all turns (published: 25).
        state_weight: of the state loss beside the answer's.
        kl_weight: of the divergence between the LLM that hears and the LLM that reads the question, token by token
            (ours); 0 is the paper's way.
        augment, spec_augment: as in stage 1.1, but without a change of speed.
        llm_tuning: what else is learned beside the LLM (ours); none is the paper's way.
    """

    encoder: EncoderConfig
    adapter: AdapterChoice
    fbank: FbankConfig = field(default_factory=FbankConfig)
    prompt: int = 25
    state_head: StateHeadConfig = field(default_factory=StateHeadConfig)
    state_weight: float = 1.0
    kl_weight: float = 0.0
    augment: AugmentConfig | None = None
    spec_augment: SpecAugmentConfig | None = None
    llm_tuning: LlmTuningConfig | None = None

    def __post_init__(self) -> None:
        if self.augment is not None and self.augment.speed != (1.0, 1.0):
            raise ValueError("augment: speed would move the states' times: leave it at [1, 1]")


class DialogueModel(PartsModel):
    """A spoken question to its answer and to the state of every chunk. Parts: prompt, state_head; others frozen."""

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
        question: Tensor,
        question_lengths: Tensor,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """One user turn for each row.

        speech (B, S) at 16 kHz; context (B, K) LLM ids up to where the user's turn opens; states
        (B, C), one for each 160 ms chunk, -1 without label; answer (B, N) LLM ids, none where the
        turn is not to be answered; question (B, Q) LLM ids of what is said, for the teacher.
        """
        with torch.no_grad():
            augment = self.spec_augment if self.training else None
            heard = listen(self, self.fbank, speech, speech_lengths, augment)
        prompt = self.prompt.weight.expand(len(speech), -1, -1)
        prompt_lengths = torch.full_like(context_lengths, prompt.shape[1])
        pieces = [(prompt, prompt_lengths), (heard.adapted.embeds, heard.adapted.lengths)]
        turn = Turn((context, context_lengths), (question, question_lengths), (answer, answer_lengths))
        loss, answer_stats, written = answer_turn(self.llm, turn, pieces, self.config.kl_weight)
        loss_state, stats = self._state_loss(written, heard, states, states_lengths)
        stats |= answer_stats | {"loss_state": loss_state}
        return training_result(loss + self.config.state_weight * loss_state, stats, rows=len(speech))

    def _state_loss(
        self, written: Written, heard: Heard, states: Tensor, states_lengths: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read at each chunk's last sent position; where none was sent yet, at the prompt's."""
        chunks = min(states.shape[1], heard.adapted.ends.shape[1])
        at_ends = chunk_hidden(written.hidden, written.starts[:, 2], heard.adapted.ends[:, :chunks])
        logits = self.state_head(at_ends, heard.adapted.summary[:, :chunks])
        real = valid_mask(states_lengths, states.shape[1])
        labels = states.masked_fill(~real, NO_LABEL)[:, :chunks]
        guesses = logits.argmax(-1)
        # a mean over nothing is not a number, which the reporter leaves out
        recalls = {f"recall_{state}": (guesses == state)[labels == state].float().mean() for state in range(STATES)}
        return self.state_head.loss(logits, labels), recalls
