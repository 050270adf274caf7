"""Task of stage 1.3: `python -m freeze_omni.bin.train dialogue`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from freeze_omni.duplex.state_head import StateHead
from freeze_omni.llm.tuned import PART
from freeze_omni.tasks.adapter import listening_parts
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.dialogue_model import DialogueModel, DialogueModelConfig
from freeze_omni.tasks.llm_tuning import stage_llm, tuning_part
from freeze_omni.tasks.preprocess import Reader, build_augment, dialogue_context, tokenise
from freeze_omni.tasks.resources import Resources

ANSWER = "Answer the user."  # where there is no system turn


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
            "prompt": prompt_part(config.prompt, sizes),
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


def prompt_part(count: int, sizes: Resources) -> nn.Embedding:
    """`count` prompt vectors that start as the system turn once more, in the LLM's embedding.

    Vectors at random are ten times as loud as a token, and the LLM forgets over them what it can; in the minutes
    of a small corpus it does not get it back. In a dry run, and without an LLM, there is nothing to start from.
    """
    prompt = nn.Embedding(count, sizes.llm_size)
    if count and sizes.loads and sizes.llm_path is not None:
        embedding = sizes.embedding
        ids = tokenise(sizes.system or ANSWER, embedding.tokenizer)
        ids = torch.tensor([ids[index % len(ids)] for index in range(count)])
        prompt.weight.data.copy_(embedding.embed(ids))
    return prompt
