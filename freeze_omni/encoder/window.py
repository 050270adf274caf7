"""Which frames a frame may attend to: its own chunk, all of it, and a fixed look-back before it."""

from __future__ import annotations

import torch
from torch import Tensor


def chunk_start(frames: Tensor, chunk_frames: int) -> Tensor:
    """First frame of the chunk that each frame is in; 0 for an infinite chunk (chunk_frames 0)."""
    if chunk_frames == 0:
        return torch.zeros_like(frames)
    return frames.div(chunk_frames, rounding_mode="floor") * chunk_frames


def visible(queries: Tensor, keys: Tensor, chunk_frames: int, left_frames: int) -> Tensor:
    """May the query frame see the key frame? (..., Q), (..., K) to (..., Q, K) bool.

    Frames are counted from the start of the stream; keys before it (negative) are never seen. With
    an infinite chunk (0) everything else is, both ways.
    """
    query, key = queries[..., :, None], keys[..., None, :]
    if chunk_frames == 0:
        return (key >= 0).expand(*torch.broadcast_shapes(query.shape, key.shape))
    start = chunk_start(query, chunk_frames)
    return (key >= 0) & (key >= start - left_frames) & (key < start + chunk_frames)


def drawn_chunk(full_context_probability: float, max_chunk: int) -> int:
    """A chunk size for a training batch: 0 (infinite) or 1 to max_chunk, by torch's generator."""
    if float(torch.rand(())) < full_context_probability:
        return 0
    return int(torch.randint(1, max_chunk + 1, ()))
