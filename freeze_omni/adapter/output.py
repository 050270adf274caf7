"""What every adapter is: encoder frames to positions for the LLM, at once or in whole chunks."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.encoder.search import Said
from freeze_omni.shapes import silence_padding
from freeze_omni.streaming import State


class AdapterOutput(NamedTuple):
    """Positions for the LLM, and how they lie in the stream's chunks.

    embeds (B, P, llm_size): zero after a row's length. lengths (B,): positions of each row. ends (B, C): positions sent
    up to the end of chunk c, counted from the start of the call; after a row's last chunk it stays. summary (B, C,
    input_size): mean encoder frame of each chunk.
    """

    embeds: Tensor
    lengths: Tensor
    ends: Tensor
    summary: Tensor


type Adapted = tuple[AdapterOutput, State]
type Device = torch.device | str | None


def chunk_means(enc: Tensor, lengths: Tensor, chunk_frames: int) -> Tensor:
    """Mean of the valid frames of each chunk, zero without one: (B, T, D), lengths (B,) to (B, ceil(T / chunk), D)."""
    chunks = -(-enc.shape[1] // chunk_frames)
    enc = silence_padding(enc, lengths)
    enc = torch.nn.functional.pad(enc, (0, 0, 0, chunks * chunk_frames - enc.shape[1]))
    first = torch.arange(chunks, device=enc.device) * chunk_frames
    counts = (lengths[:, None] - first).clamp(0, chunk_frames)
    sums = enc.unflatten(1, (chunks, chunk_frames)).sum(2)
    return sums / counts.clamp_min(1)[..., None]


def chunk_ends(lengths: Tensor, size: int, chunk_frames: int) -> Tensor:
    """Frames of each row up to the end of each chunk, (B, ceil(size / chunk))."""
    last = torch.arange(1, -(-size // chunk_frames) + 1, device=lengths.device) * chunk_frames
    return torch.minimum(last[None], lengths[:, None])


class Adapter(nn.Module):
    """The base of the adapters, which define `initial_state` and `adapt`."""

    config: Any  # chunk_frames: encoder frames of a streaming step
    project: nn.Linear  # to the LLM's width
    punctuates: bool = True  # whether a turn may end in a punctuation mark by what is sent

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype | None = None) -> State:
        """A stream that has heard nothing; device and dtype default to the parameters' own."""
        raise NotImplementedError

    def adapt(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None, state: State, said: Said | None = None
    ) -> Adapted:
        """Encoder frames (B, T, input_size), lengths (B,), CTC logits (B, T, V) to positions and the next state. said:
        the words in them, of models with a word search."""
        raise NotImplementedError

    def forward(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None = None, said: Said | None = None
    ) -> AdapterOutput:
        """Encoder frames (B, T, input_size), lengths (B,), CTC logits (B, T, V) to positions, all at once."""
        return self.adapt(enc, lengths, ctc_logits, self.initial_state(len(enc), enc.device, enc.dtype), said)[0]

    def step(self, enc: Tensor, state: State, ctc_logits: Tensor | None = None, said: Said | None = None) -> Adapted:
        """Whole chunks (B, k * chunk_frames, input_size), or ValueError, to the positions that start in them."""
        chunk = self.config.chunk_frames
        if enc.shape[1] == 0 or enc.shape[1] % chunk:
            raise ValueError(f"a step takes a multiple of {chunk} frames, found {enc.shape[1]}")
        return self.adapt(enc, torch.full((len(enc),), enc.shape[1], device=enc.device), ctc_logits, state, said)
