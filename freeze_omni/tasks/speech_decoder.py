"""Task of stage 2.2: `python -m freeze_omni.bin.train speech_decoder`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from freeze_omni.speech_decoder import SpeechDecoder
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.cut_text import CutText
from freeze_omni.tasks.preprocess import Reader, spoken_ids
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.speech_decoder_model import SpeechDecoderModel, SpeechDecoderModelConfig


class SpeechDecoderTask(BaseTask):
    """Reads text, tokens (the codec's, dumped in stage 8) and, where a row is told to the AR, the rows'
    durations; trains the speech decoder without its prefix."""

    config_class = SpeechDecoderModelConfig
    files = {"text": ("text", "text"), "tokens": ("tokens", "lazy_ints"), "row_tokens": ("durations", "lazy_ints")}
    optional = ("row_tokens",)

    @classmethod
    def build_parts(cls, config: SpeechDecoderModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        return {"speech_decoder": SpeechDecoder(config.speech_decoder, sizes.llm_size)}

    @classmethod
    def trained(cls, config: SpeechDecoderModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        return children(parts["speech_decoder"], prefix=False)

    @classmethod
    def assemble(
        cls, config: SpeechDecoderModelConfig, parts: dict[str, Any], resources: Resources
    ) -> SpeechDecoderModel:
        return SpeechDecoderModel(parts, cls.trained(config, parts), resources.embedding)

    @classmethod
    def preprocess(cls, config: SpeechDecoderModelConfig, resources: Resources, train: bool) -> Preprocess:
        tokenizer = resources.embedding.tokenizer
        read = Reader({"text": ("text", text_reader(config, tokenizer))})
        return CutText(read, config.cut, partial(is_space, tokenizer=tokenizer)) if train and config.cut else read


def children(decoder: nn.Module, prefix: bool) -> tuple[str, ...]:
    """What belongs to the NAR prefix, or all else in the speech decoder."""
    names = [name for name, _ in decoder.named_children() if name.startswith("prefix") == prefix]
    return tuple(f"speech_decoder.{name}" for name in names)


def is_space(row: int, tokenizer: Any) -> bool:
    """Whether an LLM id, a row of a text in characters, stands between two words."""
    return tokenizer.decode([row]).isspace()


def text_reader(config: Any, tokenizer: Any) -> partial:
    """Text -> ids as the speech decoder reads it."""
    units = config.speech_decoder.text_units
    return partial(spoken_ids, tokenizer=tokenizer, text_units=units, style=config.text_style)
