"""A pretrained frontend by its configuration."""

from freeze_omni.frontend.cached import CachedFrontend
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend


def build_frontend(config: PretrainedConfig) -> PretrainedFrontend:
    """With fresh weights. Raises ValueError as the two classes do."""
    return CachedFrontend(config) if config.cached else PretrainedFrontend(config)
