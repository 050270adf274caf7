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
        cut: share of the training sentences of which a random run of words is spoken alone, as the segments of a
            session are; it needs the rows' durations.
    """

    speech_decoder: SpeechDecoderConfig
    text_style: TextStyle = "plain"
    cut: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.cut <= 1:
            raise ValueError(f"cut is a share, not {self.cut}")
        if self.cut and (self.speech_decoder.length, self.speech_decoder.text_units) != ("predicted", "chars"):
            raise ValueError("cut: needs length: predicted and text_units: chars")


class SpeechDecoderModel(PartsModel):
    """Text in the LLM's frozen embedding to speech tokens. Part: speech_decoder, without its prefix; frozen: llm."""

    def __init__(self, parts: Mapping[str, nn.Module], trained: tuple[str, ...], llm: nn.Module):
        """llm: a FrozenLLM, or the LlmEmbedding of it, which is all that is used."""
        super().__init__({**parts, "llm": llm}, trained)

    def forward(
        self,
        text: Tensor,
        text_lengths: Tensor,
        tokens: Tensor,
        tokens_lengths: Tensor,
        row_tokens: Tensor | None = None,
        row_tokens_lengths: Tensor | None = None,
        **_: object,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """text (B, N) LLM ids, tokens (B, T) of the codec, row_tokens (B, N) of them for each id; all
        right-padded. Raises ValueError where row_tokens are needed or do not fit."""
        check_row_tokens(self.speech_decoder.config, text_lengths, row_tokens_lengths)
        embeds = self.llm.embed(text.clamp(min=0)).to(self.speech_decoder.embedding.weight.dtype)
        spoken = (tokens.clamp(min=0), tokens_lengths)
        loss, stats = self.speech_decoder.loss(embeds, text_lengths, *spoken, row_tokens=row_tokens)
        return training_result(loss, stats, rows=len(text))


def check_row_tokens(config: SpeechDecoderConfig, text_lengths: Tensor, row_tokens_lengths: Tensor | None) -> None:
    """Raises ValueError: `reading: told` without durations, or durations of another text."""
    if row_tokens_lengths is None:
        if config.reading == "told":
            raise ValueError("reading: told needs a file `durations` beside the tokens: stage 9 makes it (time_text)")
    elif not bool((row_tokens_lengths == text_lengths).all()):
        raise ValueError("`durations` beside the tokens has not one number for each row of the text: make it again")
