"""The codec of a configuration: ours, or one of another library behind the same interface."""

from __future__ import annotations

from freeze_omni.codec.codec import Codec
from freeze_omni.codec.config import CodecConfig
from freeze_omni.codec.external import ExternalCodec, build_external


def build_codec(config: CodecConfig) -> Codec | ExternalCodec:
    """With fresh weights; an external codec brings its own. Raises ConfigError."""
    return build_external(config) if config.architecture == "external" else Codec(config)
