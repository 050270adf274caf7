"""Task of stage 1.2: `python -m freeze_omni.bin.train adapter`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.adapter.choice import build_adapter
from freeze_omni.encoder.ctc import build_ctc
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.llm.tuned import PART
from freeze_omni.tasks.adapter_model import AdapterModel, AdapterModelConfig
from freeze_omni.tasks.base import BaseTask, Preprocess
from freeze_omni.tasks.llm_tuning import stage_llm, tuning_part
from freeze_omni.tasks.preprocess import Reader, build_augment, dialogue_context, tokenise
from freeze_omni.tasks.resources import Resources


class AdapterTask(BaseTask):
    """Reads wav.scp (16 kHz) and text; trains encoder, adapter, task tokens, and the CTC head if it
    has a weight. Where answers are the targets it reads answer and, optionally, history, as stage 1.3."""

    config_class = AdapterModelConfig
    files = {
        "speech": ("wav.scp", "sound"),
        "text": ("text", "text"),
        "answer": ("answer", "sparse_text"),
        "history": ("history", "sparse_text"),
    }
    optional = ("answer", "history")

    @classmethod
    def needed(cls, config: AdapterModelConfig) -> tuple[str, ...]:
        return ("answer",) if config.targets == "answers" else ()

    @classmethod
    def build_parts(cls, config: AdapterModelConfig, sizes: Resources) -> dict[str, nn.Module]:
        tasks = {"task_tokens": nn.Embedding(config.task_tokens, sizes.llm_size)}
        return listening_parts(config, sizes) | tasks | tuning_part(config, sizes)

    @classmethod
    def trained(cls, config: AdapterModelConfig, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        more = (("ctc",) if config.ctc_weight else ()) + ((PART,) if PART in parts else ())
        return ("encoder", "adapter", "task_tokens", *more)

    @classmethod
    def assemble(cls, config: AdapterModelConfig, parts: dict[str, Any], resources: Resources) -> AdapterModel:
        table = None
        if config.warm_start is not None:
            table = unit_embeddings(resources)
            table[parts["ctc"].blank] = filler_embedding(resources)
        return AdapterModel(parts, config, cls.trained(config, parts), stage_llm(parts, resources), table)

    @classmethod
    def preprocess(cls, config: AdapterModelConfig, resources: Resources, train: bool) -> Preprocess:
        chat = resources.llm.chat
        texts = {
            "text": ("text", partial(tokenise, tokenizer=chat.tokenizer)),
            "units": ("text", resources.units.encode),
            "context": ("history", partial(dialogue_context, chat=chat, system=resources.system)),
            "question": ("text", chat.user_text),
            "answer": ("answer", partial(tokenise, tokenizer=chat.tokenizer)),
        }
        return Reader(texts, ("speech",), build_augment(config.augment, train, cls.sample_hz))


def listening_parts(config: Any, sizes: Resources) -> dict[str, nn.Module]:
    """encoder, ctc and adapter, as stages 1.2 and 1.3 have them."""
    encoder = SpeechEncoder(config.encoder)
    embeds = None
    if config.adapter.needs_unit_embeds:
        embeds = unit_embeddings(sizes) if sizes.loads else torch.empty(sizes.unit_size, sizes.llm_size)
    return {
        "encoder": encoder,
        "ctc": build_ctc(encoder.output_size, sizes.unit_size),
        "adapter": build_adapter(config.adapter, encoder.output_size, sizes.llm_size, embeds),
    }


@torch.no_grad()
def unit_embeddings(resources: Resources) -> Tensor:
    """(V, E): the LLM's embedding of every CTC unit, zeros for the blank. Raises ConfigError for
    units of another kind."""
    return resources.units.embeddings(resources.llm)


@torch.no_grad()
def filler_embedding(resources: Resources) -> Tensor:
    """(E,): what the LLM takes for nothing said, the embedding of a space."""
    ids = tokenise(" ", tokenizer=resources.llm.tokenizer)
    return resources.llm.embed(torch.tensor(ids[:1]))[0]
