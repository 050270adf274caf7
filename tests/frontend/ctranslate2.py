"""A small Whisper as CTranslate2's converter writes it: what reads the same input is one tensor, in float32."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

THEIRS = {
    "self_attn_layer_norm": "self_attention/layer_norm", "self_attn.out_proj": "self_attention/linear_1",
    "encoder_attn_layer_norm": "attention/layer_norm", "encoder_attn.q_proj": "attention/linear_0",
    "encoder_attn.out_proj": "attention/linear_2", "final_layer_norm": "ffn/layer_norm", "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}  # fmt: skip
WHOLE = {"embed_positions.weight": "position_encodings/encodings", "embed_tokens.weight": "embeddings/weight"}
JOINED = {"self_attn": ("self_attention/linear_0", "qkv"), "encoder_attn": ("attention/linear_1", "kv")}
NORMS = {"weight": "gamma", "bias": "beta"}


def write_ctranslate2(states: Mapping[str, Mapping[str, torch.Tensor]], path: Path, heads: int = 2) -> None:
    """states: "encoder" and "decoder", in transformers' names."""
    tensors: dict[str, np.ndarray] = {}
    for part, state in states.items():
        tensors[f"{part}/num_heads"] = np.array(heads, np.int16)
        tensors |= {f"{part}/{name}": value.numpy() for name, value in _renamed(state).items()}
    with path.open("wb") as stream:
        stream.write(struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, len(tensors)))
        for name, value in tensors.items():
            shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
            code = {np.dtype(np.float32): 0, np.dtype(np.int16): 2}[value.dtype]
            stream.write(_text(name) + shape + struct.pack("<BI", code, value.nbytes) + value.tobytes())


def _text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        *path, leaf = name.split(".")
        if name in WHOLE:
            found[WHOLE[name]] = value
        elif path[0] != "layers":
            found[f"{path[0]}/{NORMS[leaf] if path[0] == 'layer_norm' else leaf}"] = value
        elif theirs := THEIRS.get(".".join(path[2:])):
            field = NORMS[leaf] if theirs.endswith("norm") else leaf
            found[f"layer_{path[1]}/{theirs}/{field}"] = value
    for layer in {name.split(".")[1] for name in state if name.startswith("layers.")}:
        for attention, (theirs, letters) in JOINED.items():
            own = f"layers.{layer}.{attention}"
            if f"{own}.k_proj.weight" not in state:
                continue
            no_bias = torch.zeros(len(state[f"{own}.k_proj.weight"]))
            for field in ("weight", "bias"):
                pieces = [state.get(f"{own}.{letter}_proj.{field}", no_bias) for letter in letters]
                found[f"layer_{layer}/{theirs}/{field}"] = torch.cat(pieces)
    return found
