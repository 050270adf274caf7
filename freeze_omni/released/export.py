"""A model of ours in the published layout, where its switches are those of the published architecture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from freeze_omni.codec.fifo import FifoConfig
from freeze_omni.released import codec, dialogue, listen, speech_decoder
from freeze_omni.released.server import server_json
from freeze_omni.system import FreezeOmni

MARK = ".exported_by_freeze_omni"  # by which a folder is known as ours: the published one has the same layout


class ExportError(ValueError):
    """A model that the published layout cannot hold, with every reason."""


def write_released(model: FreezeOmni, folder: str | Path) -> list[str]:
    """Write the folder, whole or not at all, in place of an older one of ours; returns what was left out.

    Raises ExportError if the layout cannot express the model, or if `folder` holds something else.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ExportError(f"{folder}: holds files of something else; give another folder")
    content, left_out = express(model)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    for name, value in content.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pt":
            torch.save(value, path)
        else:
            text = (
                yaml.safe_dump(value, allow_unicode=True)
                if path.suffix == ".yaml"
                else json.dumps(value, indent=1) + "\n"
            )
            path.write_text(text, encoding="utf-8")
    (new / MARK).touch()
    if folder.exists():
        shutil.rmtree(folder)
    new.rename(folder)
    return left_out


def express(model: FreezeOmni) -> tuple[dict[str, Any], list[str]]:
    """File name -> content, and what has no place in it. Raises ExportError with every reason against it."""
    config, reasons, heard = model.config, _refusals(model), None
    if config.adapter.conv is not None:
        heard = listen.ListenConfig(config.encoder, config.adapter.conv, config.llm_size, config.prompt)
    tasks = model.task_tokens.weight if config.task_tokens else model.prompt.weight.new_zeros(1, config.llm_size)
    listening = {k: v for k, v in model.state_dict().items() if k.startswith(("encoder.", "adapter."))}
    parts: dict[str, Callable[[], Any]] = {
        "audiollm/final.pt": lambda: {
            **_plain(listen.to_released(listening, heard)),
            **_plain(dialogue.to_released(model.prompt, model.state_head)),
            dialogue.UNUSED: tasks.detach().cpu().clone(),
        },
        "audiollm/train.yaml": lambda: listen.train_yaml(
            heard, dialogue.chat_template(model.llm.chat.texts, config.system_prompt), len(tasks)
        ),
        "audiollm/global_cmvn": lambda: _statistics(model),
        "decoder/final.pt": lambda: {
            "model": _plain(speech_decoder.to_released(model.speech_decoder.state_dict(), config.speech_decoder))
        },
        "decoder/model.json": lambda: speech_decoder.model_json(config.speech_decoder),
        "codec/final.pt": lambda: {name: _plain(group) for name, group in codec.to_released(model.codec).items()},
        "codec/model.json": lambda: codec.model_json(model.codec, model.voice),
        "server.json": lambda: server_json(config.sampling, config.fifo or FifoConfig()),
    }
    content = {}
    for name, make in parts.items() if not reasons else ():
        try:
            content[name] = make()
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ExportError("; ".join(dict.fromkeys(reasons)))
    return content, _left_out(model)


def _refusals(model: FreezeOmni) -> list[str]:
    """What no file of the layout can say."""
    config, style = model.config, model.config.text_style
    reasons = {
        "adapter: only conv can be expressed, this model has ctc": config.adapter.conv is None,
        "llm_tuning: what was learned next to the LLM has no place in it": config.llm_tuning is not None,
        f"text_style: only released can be expressed, this model has {style}": style != "released",
        "speech_decoder: its size must divide the LLM's width": config.llm_size % config.speech_decoder.size,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _left_out(model: FreezeOmni) -> list[str]:
    config = model.config
    left = {
        "ctc: the layout has no CTC head, so the model will not say what it heard": model.transcribes,
        "multi_token: the published server reads one speech token a pass": config.speech_decoder.tokens_per_pass > 1,
        "task embeddings: this model has none; zeros stand for them, which nothing reads": not config.task_tokens,
        "segments: the published server cuts answers by its own rule (rule: released)": config.segments.rule
        != "released",
        "fifo: the published server streams with overlaps; its default numbers are written": config.fifo is None,
        "generation: how the LLM's answer is drawn is not part of the layout": True,
    }
    return [line for line, holds in left.items() if holds]


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors for a file: on the CPU, each with its own memory."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _statistics(model: FreezeOmni) -> dict[str, Any]:
    """global_cmvn of one frame with the model's mean and deviation; the exact values are in final.pt."""
    mean, istd = (getattr(model.encoder.cmvn, name).double().cpu() for name in ("mean", "istd"))
    return {
        "mean_stat": mean.tolist(),
        "var_stat": (istd.reciprocal().square() + mean.square()).tolist(),
        "frame_num": 1,
    }
