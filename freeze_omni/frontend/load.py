"""A published speech model: of transformers or a CTranslate2 Whisper, in a folder or on the hub."""

import functools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from freeze_omni.config import ConfigError
from freeze_omni.frontend.pretrained import PretrainedFrontend
from freeze_omni.hub import folder_of, loading

CTRANSLATE2 = "model.bin"  # a table of named tensors, as faster-whisper has it
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
PARTS = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
JOINED = {"self_attention/linear_0": ("self_attn", "qkv"), "attention/linear_1": ("encoder_attn", "kv")}
"""What is one there: queries, keys and values."""
FIELDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


@functools.cache  # every part of a training asks, and a CTranslate2 file is read whole
def describe(source: str) -> dict[str, Any]:
    """The model's configuration, as `PretrainedConfig.model` has it, without its weights. Raises ConfigError."""
    if folder := _ctranslate2(source):
        return _read_ctranslate2(folder)[0]
    name, options = loading(source)
    try:
        config = AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--encoder {source}: cannot be read: {error}") from None
    described = json.loads(config.to_json_string(use_diff=True)) | {"model_type": config.model_type}
    for key in ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path"):
        described.pop(key, None)
    try:
        described["do_normalize"] = bool(AutoFeatureExtractor.from_pretrained(name, **options).do_normalize)
    except (OSError, ValueError, AttributeError):
        pass  # not every model has a feature extractor that normalises
    return described


def load_weights(frontend: PretrainedFrontend, source: str) -> None:
    """Fill the frontend with the published weights. Raises ConfigError if they do not fit its configuration."""
    try:
        folder = _ctranslate2(source)
        state = _read_ctranslate2(folder)[1] if folder else _read_transformers(source)
        wanted = frontend.model.state_dict()
        state = {f"net.{name}": value for name, value in state.items()}
        state = {name: value for name, value in state.items() if name in wanted}  # fewer layers than published
        frontend.model.load_state_dict(state)
    except (OSError, RuntimeError, KeyError) as error:
        raise ConfigError(f"--encoder {source}: its weights do not fit: {error}") from None


@functools.cache  # the hub is asked once
def _ctranslate2(source: str) -> Path | None:
    """The folder of a CTranslate2 model. Raises HubError."""
    folder = folder_of(source, (CTRANSLATE2, "config.json"))
    return folder if (folder / CTRANSLATE2).exists() else None


def _read_transformers(source: str) -> dict[str, Tensor]:
    name, options = loading(source)
    model = AutoModel.from_pretrained(name, dtype="float32", **options)
    return getattr(model, "encoder", model).state_dict() if hasattr(model, "decoder") else model.state_dict()


def _read_ctranslate2(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the encoder's weights (float32), both in transformers' terms.

    Raises ConfigError: the file is no Whisper, or its weights are quantised to integers.
    """
    tensors = read_tensors(folder / CTRANSLATE2, "encoder/")
    heads = int(tensors.pop("num_heads"))
    state = named(tensors)
    size, bins, _ = state["conv1.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    config = {
        "model_type": "whisper", "d_model": size, "encoder_layers": layers, "encoder_attention_heads": heads,
        "encoder_ffn_dim": len(state["layers.0.fc1.weight"]), "num_mel_bins": bins,
        "max_source_positions": len(state["embed_positions.weight"]),
    }  # fmt: skip
    return config, state


def read_tensors(path: Path, part: str) -> dict[str, np.ndarray]:
    """The tensors of "encoder/" or "decoder/" of a CTranslate2 Whisper, by their names after it.

    Raises ConfigError: the file is no Whisper, or its weights are quantised to integers.
    """
    try:
        with path.open("rb") as stream:
            tensors = {name.removeprefix(part): value for name, value in _tensors(stream, part)}
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ConfigError(f"--encoder {path}: no CTranslate2 Whisper that can be read ({error})") from None
    if any(value.dtype == np.int8 and value.ndim for value in tensors.values()):
        raise ConfigError(f"--encoder {path}: its weights are integers: take the float16 or float32 version")
    return tensors


def named(tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """In float32, by transformers' names."""
    return {
        ours: torch.from_numpy(value.astype(np.float32))
        for name, value in tensors.items()
        for ours, value in _named(name, value)
    }


def _tensors(stream: BinaryIO, part: str) -> Iterator[tuple[str, np.ndarray]]:

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
        if name.startswith(part):
            yield name, np.frombuffer(data, dtype=dtype).reshape(shape)


def _named(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The tensor by transformers' names."""
    if name == "position_encodings/encodings":
        yield "embed_positions.weight", value
        return
    *path, leaf = name.split("/")
    field = FIELDS.get(leaf)
    if field is None:
        return
    if name == "embeddings/weight":
        yield "embed_tokens.weight", value
    elif not path[0].startswith("layer_") or path[0] == "layer_norm":
        yield f"{path[0]}.{field}", value
    else:
        layer, part = f"layers.{path[0].removeprefix('layer_')}", "/".join(path[1:])
        attention, joined = JOINED.get(part, ("", ""))
        if not joined:
            yield f"{layer}.{PARTS[part]}.{field}", value
        for one, piece in zip(joined, np.split(value, len(joined)) if joined else (), strict=True):
            if (one, field) != ("k", "bias"):  # Whisper has none there
                yield f"{layer}.{attention}.{one}_proj.{field}", piece
