"""Whisper's encoder from a CTranslate2 file, as faster-whisper has it: a table of named tensors."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
PARTS = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
FIELDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def read_whisper(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the encoder's weights (float32), both in transformers' terms.

    Raises ValueError: the file is no Whisper, or its weights are quantised to integers.
    """
    path = folder / "model.bin"
    try:
        with path.open("rb") as stream:
            tensors = {name.removeprefix("encoder/"): value for name, value in _tensors(stream)}
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no CTranslate2 Whisper that can be read ({error})") from None
    if any(value.dtype == np.int8 for value in tensors.values()):
        raise ValueError(f"{path}: its weights are integers: take the float16 or float32 version")
    heads = int(tensors.pop("num_heads"))
    state = {
        ours: torch.from_numpy(value.astype(np.float32))
        for name, value in tensors.items()
        for ours, value in _named(name, value)
    }
    size, bins, _ = state["conv1.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    config = {
        "model_type": "whisper", "d_model": size, "encoder_layers": layers, "encoder_attention_heads": heads,
        "encoder_ffn_dim": len(state["layers.0.fc1.weight"]), "num_mel_bins": bins,
        "max_source_positions": len(state["embed_positions.weight"]),
    }  # fmt: skip
    return config, state


def _tensors(stream: BinaryIO) -> Iterator[tuple[str, np.ndarray]]:
    """The encoder's tensors of the file."""

    def number(form: str) -> int:
        return struct.unpack(form, stream.read(struct.calcsize(form)))[0]

    def text() -> str:
        return stream.read(number("<H"))[:-1].decode()

    number("<I")
    if text() != "WhisperSpec":
        raise ValueError("another kind of model")
    number("<I")
    for _ in range(number("<I")):
        name, shape = text(), [number("<I") for _ in range(number("B"))]
        dtype = DTYPES[number("B")]
        data = stream.read(number("<I"))
        if name.startswith("encoder/"):
            yield name, np.frombuffer(data, dtype=dtype).reshape(shape)


def _named(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The tensor by transformers' names: queries, keys and values are one there."""
    if name == "position_encodings/encodings":
        yield "embed_positions.weight", value
        return
    *path, leaf = name.split("/")
    field = FIELDS.get(leaf)
    if field is None:
        return
    if not path[0].startswith("layer_") or path[0] == "layer_norm":
        yield f"{path[0]}.{field}", value
        return
    layer, part = f"layers.{path[0].removeprefix('layer_')}", "/".join(path[1:])
    if part == "self_attention/linear_0":
        for one, piece in zip("qkv", np.split(value, 3), strict=True):
            if (one, field) != ("k", "bias"):  # Whisper has none there
                yield f"{layer}.self_attn.{one}_proj.{field}", piece
    else:
        yield f"{layer}.{PARTS[part]}.{field}", value
