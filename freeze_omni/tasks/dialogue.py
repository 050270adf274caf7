"""Task of stage 1.3: `python -m freeze_omni.bin.train dialogue`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from freeze_omni.duplex.state_head import StateHead
from freeze_omni.llm.tuned import PART
from freeze_omni.tasks.adapter import listening_parts
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.dialogue_model import DialogueModel, DialogueModelConfig
from freeze_omni.tasks.llm_tuning import stage_llm, tuning_part
from freeze_omni.tasks.preprocess import Reader, build_augment, dialogue_context, tokenise
from freeze_omni.tasks.resources import Resources


class DialogueTask(BaseTask):
    """Reads wav.scp (16 kHz), answer, states, and optionally history; trains prompt and state head.

    answer may lack ids: such turns are not answered. history has, behind the id, a JSON list of
    [user text, answer] pairs that were said before. text, what is said, is needed where kl_weight has a teacher read.
    """

    config_class = DialogueModelConfig
    files = {
        "speech": ("wav.scp", "sound"),
        "answer": ("answer", "sparse_text"),
        "states": ("states", "lazy_ints"),
        "history": ("history", "sparse_text"),
        "question": ("text", "sparse_text"),
    }
    optional = ("history", "question")

    @classmethod
    def needed(cls, config: DialogueModelConfig) -> tuple[str, ...]:
        return ("question",) if config.kl_weight else ()

    @classmethod
    def build_parts(cls, config: DialogueModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        parts = listening_parts(config, sizes)
        own = {
            "prompt": nn.Embedding(config.prompt, sizes.llm_size),
            "state_head": StateHead(config.state_head, sizes.llm_size, parts["encoder"].output_size),
        }
        return parts | own | tuning_part(config, sizes)

    @classmethod
    def trained(cls, config: DialogueModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        return ("prompt", "state_head", *((PART,) if PART in parts else ()))

    @classmethod
    def assemble(cls, config: DialogueModelConfig, parts: dict[str, Any], resources: Resources) -> DialogueModel:
        return DialogueModel(parts, config, cls.trained(config, parts), stage_llm(parts, resources))

    @classmethod
    def preprocess(cls, config: DialogueModelConfig, resources: Resources, train: bool) -> Preprocess:
        chat = resources.llm.chat
        texts = {
            "context": ("history", partial(dialogue_context, chat=chat, system=resources.system)),
            "answer": ("answer", partial(tokenise, tokenizer=chat.tokenizer)),
            "question": ("question", chat.user_text),
        }
        return Reader(texts, ("speech",), build_augment(config.augment, train, cls.sample_hz))
