"""Stage 2.3: the NAR prefix learns to read the LLM's hidden states; all else stays as it is (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import LlmTuningConfig
from freeze_omni.shapes import valid_mask
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.tasks.parts_model import PartsModel, training_result
from freeze_omni.tasks.rows import join, predicting
from freeze_omni.tasks.speech_decoder_model import TextStyle, check_row_tokens


@dataclass(frozen=True, kw_only=True)
class PrefixModelConfig:
    """Keys under `model:` of stage 2.3; speech_decoder and text_style come with the parts of stage 2.2.

    Attributes:
        prefix_from_ar: start the prefix from the trained AR layers, whose keys and values it has to speak.
        llm_tuning: of stage 1.3, where that had one: it stays as it is here.
    """

    speech_decoder: SpeechDecoderConfig
    text_style: TextStyle = "plain"
    prefix_from_ar: bool = True
    llm_tuning: LlmTuningConfig | None = None


class PrefixModel(PartsModel):
    """The LLM's answer, its hidden states and its words, to speech tokens. Only speech_decoder.prefix* learns."""

    def __init__(self, parts: Mapping[str, nn.Module], trained: tuple[str, ...], llm: FrozenLLM):
        super().__init__({**parts, "llm": llm}, trained)

    def forward(
        self,
        context: Tensor,
        context_lengths: Tensor,
        answer: Tensor,
        answer_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        tokens: Tensor,
        tokens_lengths: Tensor,
        row_tokens: Tensor | None = None,
        row_tokens_lengths: Tensor | None = None,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """context (B, K) LLM ids up to where the answer begins, answer (B, N) its LLM ids, text (B,
        M) the ids it is spoken by, tokens (B, T) of its speech, row_tokens (B, M) of them for each id."""
        check_row_tokens(self.speech_decoder.config, text_lengths, row_tokens_lengths)
        dtype = self.speech_decoder.embedding.weight.dtype
        with torch.no_grad():
            hidden = self.answer_states(context, context_lengths, answer, answer_lengths).to(dtype)
            embeds = self.llm.embed(text.clamp(min=0)).to(dtype)
        loss, stats = self.speech_decoder.loss(
            embeds, text_lengths, tokens.clamp(min=0), tokens_lengths, hidden, answer_lengths, row_tokens
        )
        return training_result(loss, stats, rows=len(text))

    def answer_states(self, context: Tensor, context_lengths: Tensor, answer: Tensor, answer_lengths: Tensor) -> Tensor:
        """Hidden states (B, N, E) of the answering pass: to a token belongs the state that predicted it."""
        joined = join(
            [
                (self.llm.embed(context.clamp(min=0)), context_lengths),
                (self.llm.embed(answer.clamp(min=0)), answer_lengths),
            ]
        )
        hidden, _ = self.llm(joined.embeds, joined.mask)
        states = predicting(hidden, joined.starts[:, 1], answer_lengths)
        return states.masked_fill(~valid_mask(answer_lengths, states.shape[1])[..., None], 0)
