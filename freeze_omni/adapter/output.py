"""What every adapter gives out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from freeze_omni.shapes import silence_padding


class AdapterOutput(NamedTuple):
    """Positions for the LLM, and how they lie in the stream's chunks.

    embeds (B, P, llm_size): zero behind a row's length. lengths (B,): positions of each row.
    ends (B, C): positions sent up to the end of chunk c, counted from the start of the call; behind
    a row's last chunk it stays. summary (B, C, input_size): mean encoder frame of each chunk.
    """

    embeds: Tensor
    lengths: Tensor
    ends: Tensor
    summary: Tensor


def chunk_means(enc: Tensor, lengths: Tensor, chunk_frames: int) -> Tensor:
    """Mean of the valid frames of each chunk: (B, T, D), lengths (B,) to (B, ceil(T / chunk), D).

    A chunk without a valid frame has mean zero.
    """
    chunks = -(-enc.shape[1] // chunk_frames)
    enc = silence_padding(enc, lengths)
    enc = torch.nn.functional.pad(enc, (0, 0, 0, chunks * chunk_frames - enc.shape[1]))
    first = torch.arange(chunks, device=enc.device) * chunk_frames
    counts = (lengths[:, None] - first).clamp(0, chunk_frames)
    sums = enc.unflatten(1, (chunks, chunk_frames)).sum(2)
    return sums / counts.clamp_min(1)[..., None]


def chunk_ends(lengths: Tensor, size: int, chunk_frames: int) -> Tensor:
    """Frames of each row up to the end of each chunk, (B, ceil(size / chunk))."""
    chunks = -(-size // chunk_frames)
    last = torch.arange(1, chunks + 1, device=lengths.device) * chunk_frames
    return torch.minimum(last[None], lengths[:, None])


def require_chunks(enc: Tensor, chunk_frames: int) -> None:
    """Raises ValueError where frames enc (B, T, D) of a step are not whole chunks."""
    if enc.shape[1] == 0 or enc.shape[1] % chunk_frames:
        raise ValueError(f"a step takes a multiple of {chunk_frames} frames, found {enc.shape[1]}")
