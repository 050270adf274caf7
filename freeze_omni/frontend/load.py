"""A published speech model: of transformers or a CTranslate2 Whisper, in a folder or on the hub."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from freeze_omni.config import ConfigError
from freeze_omni.frontend.ctranslate2 import read_whisper
from freeze_omni.frontend.pretrained import PretrainedFrontend
from freeze_omni.hub import folder_of, loading

CTRANSLATE2 = "model.bin"


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


def _read_ctranslate2(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        return read_whisper(folder)
    except ValueError as error:
        raise ConfigError(f"--encoder {error}") from None


def _read_transformers(source: str) -> dict[str, Tensor]:
    name, options = loading(source)
    model = AutoModel.from_pretrained(name, dtype="float32", **options)
    return getattr(model, "encoder", model).state_dict() if hasattr(model, "decoder") else model.state_dict()
