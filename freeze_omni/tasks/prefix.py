"""Task of stage 2.3: `python -m freeze_omni.bin.train prefix`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from freeze_omni.speech_decoder import SpeechDecoder
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.llm_tuning import stage_llm, tuning_part
from freeze_omni.tasks.prefix_model import PrefixModel, PrefixModelConfig
from freeze_omni.tasks.preprocess import Reader, answer_context, tokenise
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.speech_decoder import children, text_reader


class PrefixTask(BaseTask):
    """Reads text (the question), answer (of the LLM itself) and tokens (of the answer's speech), with durations where
    the AR is told the row, and optionally history, as stage 1.3 does; trains the prefix."""

    config_class = PrefixModelConfig
    files = {
        "text": ("text", "text"),
        "answer": ("answer", "text"),
        "tokens": ("tokens", "lazy_ints"),
        "row_tokens": ("durations", "lazy_ints"),
        "history": ("history", "sparse_text"),
    }
    optional = ("row_tokens", "history")

    @classmethod
    def build_parts(cls, config: PrefixModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        decoder = SpeechDecoder(config.speech_decoder, sizes.llm_size)
        return {"speech_decoder": decoder, **tuning_part(config, sizes)}

    @classmethod
    def trained(cls, config: PrefixModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        return children(parts["speech_decoder"], prefix=True)

    @classmethod
    def assemble(cls, config: PrefixModelConfig, parts: dict[str, Any], resources: Resources) -> PrefixModel:
        if config.prefix_from_ar:
            parts["speech_decoder"].copy_ar_to_prefix()
        return PrefixModel(parts, cls.trained(config, parts), stage_llm(parts, resources))

    @classmethod
    def preprocess(cls, config: PrefixModelConfig, resources: Resources, train: bool) -> Preprocess:
        chat = resources.llm.chat
        return Reader(
            {
                "context": (("text", "history"), partial(answer_context, chat=chat, system=resources.system)),
                "answer": ("answer", partial(tokenise, tokenizer=chat.tokenizer)),
                "text": ("answer", text_reader(config, chat.tokenizer)),
            }
        )
