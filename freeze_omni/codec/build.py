"""The codec of a configuration: ours, or one of another library with the same interface."""

from __future__ import annotations

from freeze_omni.codec.base import BaseCodec
from freeze_omni.codec.codec import Codec
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.external import build_external


def build_codec(config: CodecConfig) -> BaseCodec:
    """With fresh weights; an external codec brings its own. Raises ConfigError."""
    return build_external(config) if config.architecture == "external" else Codec(config)
