"""Stage 2.2: NAR and AR learn to speak a text, by teacher forcing (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.tasks.parts_model import PartsModel, training_result

TextStyle = Literal["plain", "released", "english"]


@dataclass(frozen=True, kw_only=True)
class SpeechDecoderModelConfig:
    """Keys under `model:` of stage 2.2.

    Attributes:
        text_style: what is done to a text before it is spoken: nothing, the published server's
            clean-up, or English with its numbers spelled out. Decoding must do the same.
    """

    speech_decoder: SpeechDecoderConfig
    text_style: TextStyle = "plain"


class SpeechDecoderModel(PartsModel):
    """Text in the LLM's frozen embedding to speech tokens. Part: speech_decoder, without its
    prefix; frozen: llm."""

    def __init__(self, parts: Mapping[str, nn.Module], trained: tuple[str, ...], llm: nn.Module):
        """llm: a FrozenLLM, or the LlmEmbedding of it, which is all that is used."""
        super().__init__({**parts, "llm": llm}, trained)

    def forward(
        self,
        text: Tensor,
        text_lengths: Tensor,
        tokens: Tensor,
        tokens_lengths: Tensor,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """text (B, N) LLM ids, tokens (B, T) of the codec; both right-padded."""
        embeds = self.llm.embed(text.clamp(min=0)).to(self.speech_decoder.embedding.weight.dtype)
        loss, stats = self.speech_decoder.loss(embeds, text_lengths, tokens.clamp(min=0), tokens_lengths)
        return training_result(loss, stats, rows=len(text))
