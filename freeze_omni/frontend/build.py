"""The frontend that a configuration asks for, and the transcriber on it."""

from freeze_omni.frontend.cached import CachedFrontend
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.frontend.transcriber import Transcriber, TranscriberConfig


def build_frontend(config: PretrainedConfig) -> PretrainedFrontend:
    """With fresh weights. Raises ValueError as the two classes do."""
    return CachedFrontend(config) if config.cached else PretrainedFrontend(config)


def build_transcriber(config: TranscriberConfig, frontend: PretrainedConfig) -> Transcriber:
    """With fresh weights. Raises ValueError for a frontend that its decoder does not know."""
    if not frontend.cached or frontend.layers:
        raise ValueError("transcriber: its frontend is a whole Whisper with `context: cached`, without `layers`")
    theirs, ours = frontend.model.get("d_model"), config.model.get("d_model")
    if theirs != ours:
        raise ValueError(f"transcriber: a decoder for frames of {ours}, and the frontend's have {theirs}")
    return Transcriber(config, frontend.chunk_frames * frontend.stack, frontend.stack, frontend.lookahead_chunks)
