"""Stage 2.2: NAR and AR learn to speak a text, by teacher forcing (paper section 3.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.speech_decoder import SpeechDecoder
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.normalise import TextStyle, spoken_ids
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.parts_model import PartsModel, Result, pairs, training_result
from freeze_omni.tasks.preprocess import Reader
from freeze_omni.tasks.resources import Resources

FEWEST_WORDS = 2


@dataclass(frozen=True, kw_only=True)
class SpeechDecoderModelConfig:
    """Keys under `model:` of stage 2.2.

    text_style: what is done to a text before it is spoken: nothing, the published server's clean-up, or English or
    Chinese with its numbers in words; so also in decoding. cut: share of the training sentences of which a random run
    of words is spoken alone, as the segments of a session are; it needs the rows' durations.
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
        """llm: a FrozenLLM, or its LlmEmbedding, which is all that is used."""
        super().__init__({**parts, "llm": llm}, trained)

    def forward(self, **batch: Tensor) -> Result:
        """text (B, N) LLM ids, tokens (B, T) of the codec, perhaps row_tokens (B, N) of them for each id, and lengths;
        all right-padded; and what `condition` takes. Raises ValueError as `check_row_tokens`."""
        (text, text_lengths), (tokens, tokens_lengths) = pairs(batch, "text", "tokens")
        check_row_tokens(self.speech_decoder.config, text_lengths, batch.get("row_tokens_lengths"))
        dtype = self.speech_decoder.embedding.weight.dtype
        with torch.no_grad():
            embeds = self.llm.embed(text.clamp(min=0)).to(dtype)
            hidden, hidden_lengths = self.condition(batch)
        hidden, rows = None if hidden is None else hidden.to(dtype), batch.get("row_tokens")
        loss, stats = self.speech_decoder.loss(
            embeds, text_lengths, tokens.clamp(min=0), tokens_lengths, hidden, hidden_lengths, rows
        )
        return training_result(loss, stats, rows=len(text))

    def condition(self, batch: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Hidden states (B, N, E) of the LLM that the prefix reads, and lengths (B,); none in stage 2.2."""
        return None, None


class SpeechDecoderTask(BaseTask):
    """Reads text, tokens (the codec's, dumped in stage 8) and, with `reading: told`, the rows' durations; trains the
    speech decoder without its prefix."""

    config_class = SpeechDecoderModelConfig
    files = {"text": ("text", "text"), "tokens": ("tokens", "lazy_ints"), "row_tokens": ("durations", "lazy_ints")}
    optional = ("row_tokens",)
    trains_prefix: ClassVar[bool] = False

    @classmethod
    def build_parts(cls, config: SpeechDecoderModelConfig, resources: Resources) -> dict[str, nn.Module]:
        return {"speech_decoder": SpeechDecoder(config.speech_decoder, resources.llm_size)}

    @classmethod
    def trained(cls, config: Any, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        """What belongs to the NAR prefix, or all else in the speech decoder."""
        names = [name for name, _ in parts["speech_decoder"].named_children()]
        return tuple(f"speech_decoder.{name}" for name in names if name.startswith("prefix") == cls.trains_prefix)

    @classmethod
    def assemble(cls, config: SpeechDecoderModelConfig, parts: dict[str, Any], resources: Resources) -> PartsModel:
        return SpeechDecoderModel(parts, cls.trained(config, parts), resources.embedding)

    @classmethod
    def preprocess(cls, config: SpeechDecoderModelConfig, resources: Resources, train: bool) -> Preprocess:
        tokenizer = resources.embedding.tokenizer
        read = Reader({"text": ("text", text_reader(config, tokenizer))})
        return CutText(read, config.cut, partial(is_space, tokenizer=tokenizer)) if train and config.cut else read


def text_reader(config: Any, tokenizer: Any) -> partial[list[int]]:
    """Text -> ids as the speech decoder reads it."""
    units = config.speech_decoder.text_units
    return partial(spoken_ids, tokenizer=tokenizer, text_units=units, style=config.text_style)


def check_row_tokens(config: SpeechDecoderConfig, text_lengths: Tensor, row_tokens_lengths: Tensor | None) -> None:
    """Raises ValueError: `reading: told` without durations, or durations of another text."""
    if row_tokens_lengths is None and config.reading == "told":
        raise ValueError("reading: told needs a file `durations` next to the tokens: stage 9 makes it (time_text)")
    if row_tokens_lengths is not None and not torch.equal(row_tokens_lengths, text_lengths):
        raise ValueError(
            "`durations` next to the tokens needs one number for each row of the text: make it again (stage 9)"
        )


class CutText:
    """Replaces a share of the utterances by a random run of words, as a session's segments are, with its tokens."""

    def __init__(self, before: Preprocess, share: float, is_space: Callable[[int], bool]):
        self.before, self.share, self.is_space = before, share, is_space

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Draws as set by `SeededDataset`, for each utterance. Utterances without `row_tokens` stay whole."""
        entries = self.before(uid, data)
        if "row_tokens" not in entries or np.random.random() >= self.share:
            return entries
        words = word_rows([self.is_space(int(row)) for row in entries["text"]])
        if len(words) <= FEWEST_WORDS or len(entries["row_tokens"]) != len(entries["text"]):
            return entries
        count = np.random.randint(FEWEST_WORDS, len(words))
        first = np.random.randint(0, len(words) - count + 1)
        return cut(entries, words[first][0], words[first + count - 1][1])


def is_space(row: int, tokenizer: Any) -> bool:
    """Whether an LLM id, a row of a text in characters, stands between two words."""
    return tokenizer.decode([row]).isspace()


def word_rows(spaces: list[bool]) -> list[tuple[int, int]]:
    """First row of each word and the row after its last, in a text whose rows are a space or not."""
    edges = np.diff(np.array([True, *spaces, True]).astype(int))
    return list(zip(np.flatnonzero(edges < 0).tolist(), np.flatnonzero(edges > 0).tolist(), strict=True))


def cut(entries: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """The entries with rows `start` to `end` (excluded) of the text alone, and the tokens that say them."""
    ends = np.cumsum(entries["row_tokens"])
    first = ends[start - 1] if start else 0
    rows = {name: entries[name][start:end] for name in ("text", "row_tokens")}
    return entries | rows | {"tokens": entries["tokens"][first : ends[end - 1]]}
