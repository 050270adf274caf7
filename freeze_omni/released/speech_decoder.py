"""The published speech decoder (`decoder/final.pt` and `model.json`) in our names, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freeze_omni.config import build
from freeze_omni.released.files import check_fixed, check_shapes, checked, read_json, read_tensors, shapes_only, taken
from freeze_omni.speech_decoder import SpeechDecoder, SpeechDecoderConfig
from freeze_omni.weights import state_shapes

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
_OPTIONS = {  # ours: theirs
    "size": "transformer_attention_dim",
    "ffn_size": "transformer_linear_units",
    "layers": "transformer_num_blocks",
    "heads": "transformer_attention_heads",
}
# options that have one published value, and what they say
_FIXED = {"encoder_criterion": "ce", "encoder_upsample_rate": 1, "kv_cache_prefix_finetune": 1}
_WIDTHS = ("idim", "encoder_input_dim", "encoder_output_dim")


def read_speech_decoder(folder: str | Path) -> tuple[SpeechDecoderConfig, dict[str, Tensor]]:
    """Configuration and state dict of a published `decoder` folder. Raises ReleasedError with file and fault."""
    folder = Path(folder)
    config = read_config(folder / "model.json")
    theirs = read_tensors(folder / "final.pt", "model")
    with checked(folder / "final.pt"):
        return config, from_released(theirs, config)


def read_config(path: str | Path) -> SpeechDecoderConfig:
    """`model.json` ([idim, odim, {options}]), as ours. Raises ReleasedError for what was never published."""
    content = read_json(Path(path))
    with checked(Path(path)):
        if not (isinstance(content, list) and len(content) == 3 and isinstance(content[2], dict)):
            raise ValueError("expected [idim, odim, {options}]")
        width, codes, options = content
        _check(width, codes, options)
        mapping = {
            **{ours: options[theirs] for ours, theirs in _OPTIONS.items()},
            "pre_layers": options[_OPTIONS["layers"]] // 2,
            "codes": codes,
            "dropout": options.get("transformer_dropout_rate", 0.1),
            "text_rows": "reshape",
        }
        return build(SpeechDecoderConfig, mapping, "model")


def _check(width: Any, codes: Any, options: Mapping[str, Any]) -> None:
    check_fixed(_FIXED | options, _FIXED)
    size = options["transformer_attention_dim"]
    widths = {"the first entry": width} | {key: options.get(key, size) for key in _WIDTHS}
    for key, value in widths.items():
        if value != size:
            raise ValueError(f"{key} is {value!r}, but transformer_attention_dim is {size!r}: they must agree")
    if options.get("odim", codes) != codes:
        raise ValueError(f"odim is {options['odim']!r}, but the second entry is {codes!r}: they must agree")


def model_json(config: SpeechDecoderConfig) -> list[Any]:
    """The inverse of `read_config`."""
    options = {
        **dict.fromkeys(_WIDTHS, config.size),
        "odim": config.codes,
        "encoder_pre_norm_type": "ln",
        "encoder_drop_rate": 0.0,
        **_FIXED,
        **{theirs: getattr(config, ours) for ours, theirs in _OPTIONS.items()},
        "transformer_dropout_rate": config.dropout,
    }
    return [config.size, config.codes, options]


def from_released(theirs: Mapping[str, Tensor], config: SpeechDecoderConfig) -> dict[str, Tensor]:
    """Our state dict from theirs. Raises ValueError unless each tensor has its counterpart of the same shape."""
    if config.layers > len(theirs):
        raise ValueError(f"{len(theirs)} tensors are too few for {config.layers} layers")
    mapped = names(config)
    with shapes_only():
        stacked = state_shapes(SpeechDecoder(config, config.size))
    shapes = {}
    for ours, group in mapped.items():
        rows, *others = stacked[ours]
        shapes |= dict.fromkeys(group, (rows // len(group), *others))
    check_shapes(theirs, shapes, "model.json")
    return {ours: taken(torch.cat([theirs[name] for name in group])) for ours, group in mapped.items()}


def to_released(ours: Mapping[str, Tensor], config: SpeechDecoderConfig) -> dict[str, Tensor]:
    """Their state dict from ours, without `multi_token`, which their server has no use for. Raises ValueError for a
    model that the published layout cannot hold."""
    ours = {name: tensor for name, tensor in ours.items() if not name.startswith("multi_token.")}
    plain = (config.text_rows, config.positions, config.text_units) == ("reshape", "plain", "tokens")
    if not plain or config.pre_layers != config.layers // 2:
        raise ValueError(
            "speech_decoder: only text_rows: reshape, positions: plain, text_units: tokens and pre_layers: layers // 2 "
            "can be expressed"
        )
    mapped = names(config)
    if set(ours) != set(mapped):
        raise ValueError(f"not a speech decoder's tensors: {sorted(set(ours) ^ set(mapped))[0]}")
    theirs = {}
    for name, group in mapped.items():
        parts = ours[name].chunk(len(group))
        theirs.update({their: part.clone() for their, part in zip(group, parts, strict=True)})
    return theirs


def names(config: SpeechDecoderConfig) -> dict[str, tuple[str, ...]]:
    """Our name: their names, whose tensors are stacked on the first axis."""
    names = {ours: (theirs,) for ours, theirs in _SINGLE.items()}
    for stack, ours in _STACKS.items():
        for index in range(config.pre_layers if ours == "nar" else config.layers):
            for part, theirs in _PARTS.items():
                names[f"{ours}.{index}.{part}.weight"] = tuple(f"{stack}.{index}.{one}.weight" for one in theirs)
    return names
