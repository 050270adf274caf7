"""The published speech decoder (`decoder/final.pt` and `model.json`) in our names, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from freeze_omni.speech_decoder.config import SpeechDecoderConfig

_STACKS = {"layers_pre_nn": "nar", "layers_prefix": "prefix", "layers": "ar"}
_PARTS = {  # ours: theirs, stacked in this order where there are several
    "query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
    "attention_norm": ("input_layernorm",),
    "ffn_norm": ("post_attention_layernorm",),
}
_SINGLE = {
    "embedding.weight": "embedding.weight",
    "norm.weight": "norm.weight",
    "output.weight": "out_fnn.weight",
    "output.bias": "out_fnn.bias",
}


def read_speech_decoder(folder: str | Path) -> tuple[SpeechDecoderConfig, dict[str, Tensor]]:
    """Configuration and state dict of a `decoder` folder in the published layout.

    Raises:
        ValueError: a file that is not of this layout: names the file and what is wrong with it.
    """
    folder = Path(folder)
    config = read_config(folder / "model.json")
    path = folder / "final.pt"
    content = torch.load(path, map_location="cpu", weights_only=True)
    theirs = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(theirs, dict) or not all(
        isinstance(value, Tensor) for value in theirs.values()
    ):
        raise ValueError(f"{path}: holds no state dict")
    try:
        return config, from_released(theirs, config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_config(path: str | Path) -> SpeechDecoderConfig:
    """`model.json`, which is [idim, odim, {options}], as our configuration."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not (isinstance(content, list) and len(content) == 3 and isinstance(content[2], dict)):
        raise ValueError(f"{path}: expected [idim, odim, {{options}}]")
    _, codes, options = content
    try:
        layers = int(options["transformer_num_blocks"])
        return SpeechDecoderConfig(
            size=int(options["transformer_attention_dim"]),
            heads=int(options["transformer_attention_heads"]),
            ffn_size=int(options["transformer_linear_units"]),
            layers=layers,
            pre_layers=layers // 2,
            codes=int(codes),
            dropout=float(options.get("transformer_dropout_rate", 0.1)),
            text_rows="reshape",
        )
    except KeyError as error:
        raise ValueError(f"{path}: option {error} is missing") from None


def from_released(theirs: Mapping[str, Tensor], config: SpeechDecoderConfig) -> dict[str, Tensor]:
    """Our state dict from theirs.

    Raises ValueError unless every tensor on both sides has its counterpart.
    """
    names = _names(config)
    wanted = {name for group in names.values() for name in group}
    if missing := sorted(wanted - set(theirs)):
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    if unknown := sorted(set(theirs) - wanted):
        raise ValueError(
            f"{len(unknown)} tensors have no place in the model, the first is {unknown[0]}"
        )
    return {ours: torch.cat([theirs[name] for name in group]) for ours, group in names.items()}


def to_released(ours: Mapping[str, Tensor], config: SpeechDecoderConfig) -> dict[str, Tensor]:
    """Their state dict from ours.

    Raises ValueError for a model that the published layout cannot hold.
    """
    if (
        config.text_rows != "reshape"
        or config.positions != "plain"
        or config.pre_layers != config.layers // 2
    ):
        raise ValueError(
            "the published layout has text_rows: reshape, positions: plain, pre_layers: layers // 2"
        )
    names = _names(config)
    if set(ours) != set(names):
        raise ValueError(f"not a speech decoder's tensors: {sorted(set(ours) ^ set(names))[0]}")
    theirs = {}
    for name, group in names.items():
        parts = ours[name].chunk(len(group)) if len(group) > 1 else (ours[name],)
        theirs.update({their: part.clone() for their, part in zip(group, parts, strict=True)})
    return theirs


def _names(config: SpeechDecoderConfig) -> dict[str, tuple[str, ...]]:
    """Our name: their names, whose tensors are stacked on the first axis."""
    names = {ours: (theirs,) for ours, theirs in _SINGLE.items()}
    for stack, ours in _STACKS.items():
        for index in range(config.pre_layers if ours == "nar" else config.layers):
            for part, theirs in _PARTS.items():
                names[f"{ours}.{index}.{part}.weight"] = tuple(
                    f"{stack}.{index}.{one}.weight" for one in theirs
                )
    return names
