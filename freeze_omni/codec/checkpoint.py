"""A trained codec from the folder of its training."""

from __future__ import annotations

from pathlib import Path

import torch

from freeze_omni.codec.build import build_codec
from freeze_omni.codec.codec import Codec
from freeze_omni.codec.config import CodecConfig
from freeze_omni.config import ConfigError, build, read_yaml

PREFIX = "codec."


def read_checkpoint(path: str | Path) -> Codec:
    """The codec of a checkpoint (.pth) of stage 2.1, in evaluation mode.

    Its configuration is read from config.yaml in the same folder.

    Raises:
        ConfigError: a missing file, a file without a codec, or one that does not fit its configuration.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"{path}: no such checkpoint; train the codec first (stage 8)")
    where = path.parent / "config.yaml"
    model = read_yaml(where).get("model", {})
    if "codec" not in model:
        raise ConfigError(f"{where}: no `codec` under `model`: not a folder of stage 2.1")
    codec = build_codec(build(CodecConfig, model["codec"], f"{where}: model: codec"))
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("model", content)
    state = {k[len(PREFIX) :]: v for k, v in content.items() if k.startswith(PREFIX)}
    try:
        codec.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{path}: does not fit {where}: {error}") from None
    return codec.eval()
