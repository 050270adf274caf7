"""The published server's numbers (`server.json`) as our configurations, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from freeze_omni.codec.fifo import FifoConfig
from freeze_omni.config import build
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.released.files import ReleasedError, checked, read_json
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import SegmentConfig

GENERATION = GenerationConfig(max_new_tokens=512, temperature=0.8, top_k=20, top_p=0.8)  # paper, appendix
SEGMENTS = SegmentConfig(rule="released")
_FIFO = {  # ours: theirs
    "first_chunk_tokens": "decoder_first_chunk_size",
    "chunk_tokens": "decoder_chunk_size",
    "pad_tokens": "decoder_chunk_overlap_size",
    "window_samples": "decoder_N",
    "threshold": "decoder_seg_threshold",
    "first_threshold": "decoder_seg_threshold_first_pack",
}
_SAMPLING = {"top_k": "decoder_top_k", "penalty": "decoder_penalty", "penalty_window": "decoder_penalty_window_size"}


class ServerConfig(NamedTuple):
    """How speech tokens are drawn, and how they become pieces of audio. unknown: keys that nothing reads."""

    sampling: SamplingConfig
    fifo: FifoConfig
    unknown: tuple[str, ...] = ()


def read_server(path: Path) -> ServerConfig:
    """Raises ReleasedError for a file that is missing, or has values that no server can run with."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ReleasedError(f"{path}: expected an object")
    known = set(_FIFO.values()) | set(_SAMPLING.values())
    if missing := sorted(known - set(content)):
        raise ReleasedError(f"{path}: key {missing[0]} is missing")
    with checked(path):
        sampling: dict[str, Any] = {ours: content[theirs] for ours, theirs in _SAMPLING.items()}
        if sampling["penalty_window"] <= 0:  # off, written in several ways
            sampling["penalty_window"] = 0
        return ServerConfig(
            build(SamplingConfig, sampling, "sampling"),
            build(FifoConfig, {ours: content[theirs] for ours, theirs in _FIFO.items()}, "chunks"),
            tuple(sorted(set(content) - known)),
        )


def server_json(sampling: SamplingConfig, fifo: FifoConfig) -> dict[str, Any]:
    """The inverse of `read_server`. Raises ValueError for sampling that the layout cannot express."""
    if sampling.temperature != 1 or sampling.min_tokens_per_row or sampling.max_tokens_per_row:
        raise ValueError("sampling: only top_k, penalty and penalty_window can be expressed (temperature 1, no guards)")
    threshold = fifo.threshold if fifo.first_threshold is None else fifo.first_threshold
    content = {theirs: getattr(fifo, ours) for ours, theirs in _FIFO.items()}
    content[_FIFO["first_threshold"]] = threshold
    return content | {theirs: getattr(sampling, ours) for ours, theirs in _SAMPLING.items()}
