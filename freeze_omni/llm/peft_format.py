"""LoRA in the format of the peft library, which itself is not needed: adapter_config.json with its safetensors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from freeze_omni.config import ConfigError
from freeze_omni.hub import folder_of, is_hub_id
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import Lora, LoraConfig, adapted_layers

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_OTHERS = ("alpha_pattern", "rank_pattern", "layer_replication", "alora_invocation_tokens", "arrow_config")
"""Switches of peft that change what an adapter computes, and leave no trace in its tensors."""


def write_lora(folder: str | Path, lora: Lora, config: LoraConfig, llm: FrozenLLM) -> Path:
    """Write the adapters of an LLM to a folder that peft reads."""
    layers = adapted_layers(llm.model, config.projections)
    tensors: dict[str, Tensor] = {}
    for name, down, up in zip(layers, lora.down, lora.up, strict=True):
        pair = {"A": down, "B": up}
        tensors |= {f"base_model.model.{name}.lora_{x}.weight": w.detach().cpu().contiguous() for x, w in pair.items()}
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": llm.source if is_hub_id(llm.source) else None,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(isinstance(layer, Conv1D) for layer in layers.values()),
        "target_modules": _endings(layers),
        "inference_mode": True,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def read_lora(source: str | Path, llm: FrozenLLM) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Configuration and state dict of a `Lora` for this LLM (its architecture is enough), of a folder or a hub id.

    Layers that peft left out among those of the same name get an adapter of zeros, which adds nothing and learns
    nothing. Raises ConfigError for what is no LoRA, of another LLM, or of a kind that `Lora` does not compute.
    """
    folder = folder_of(source, (CONFIG, WEIGHTS))
    described, pairs = _read_config(folder / CONFIG), _read_pairs(folder / WEIGHTS)
    rank, alpha = described["r"], float(described["lora_alpha"])
    alpha *= math.sqrt(rank) if described.get("use_rslora") else 1
    config = LoraConfig(rank, alpha, tuple(_endings(pairs)))
    try:
        layers = adapted_layers(llm.model, config.projections)
    except ValueError as error:
        raise ConfigError(f"{source}: of another LLM than {llm.source}: {error}") from None
    if foreign := sorted(set(pairs) - set(layers)):
        raise ConfigError(f"{source}: of another LLM than {llm.source}, which has no layer {foreign[0]}")
    state: dict[str, Tensor] = {}
    for number, (name, layer) in enumerate(layers.items()):
        outputs, inputs = (layer.weight.T if isinstance(layer, Conv1D) else layer.weight).shape
        for part, key, shape in (("down", "A", (rank, inputs)), ("up", "B", (outputs, rank))):
            weight = pairs[name].get(key) if name in pairs else layer.weight.new_zeros(shape, device="cpu")
            if weight is None or weight.shape != shape:
                found = "is missing" if weight is None else f"has shape {tuple(weight.shape)}, not {shape}"
                raise ConfigError(f"{folder / WEIGHTS}: lora_{key} of {name} {found}: of another LLM, or broken")
            state[f"{part}.{number}"] = weight.float()
    return config, state


def _endings(names: Mapping[str, Any]) -> list[str]:
    """The last two words of the layers' names: they tell attention and MLP apart."""
    return sorted({".".join(name.split(".")[-2:]) for name in names})


def _read_config(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        kind = described["peft_type"]
        LoraConfig(described["r"], float(described["lora_alpha"]))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give a folder that peft's save_pretrained wrote") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: no configuration of a LoRA ({type(error).__name__}: {error})") from None
    others = [key for key in _OTHERS if described.get(key)]
    if kind != "LORA" or others:
        raise ConfigError(f"{path}: {others[0] if others else kind} is not plain LoRA, the only kind that can be read")
    return described


def _read_pairs(path: Path) -> dict[str, dict[str, Tensor]]:
    """Layer -> A and B."""
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; save the adapter with safe_serialization") from None
    except SafetensorError as error:
        raise ConfigError(f"{path}: broken or cut off ({error}); fetch it again") from None
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, weight in tensors.items():
        parsed = _KEY.fullmatch(key)
        if parsed is None:
            raise ConfigError(f"{path}: {key} is no tensor of plain LoRA, the only kind that can be read")
        pairs.setdefault(parsed[1], {})[parsed[2]] = weight
    return pairs
