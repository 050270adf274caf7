"""Streaming as in the published server: tokens wait, are decoded with overlap, and audio is cut at quiet points.

`Codec.step` is exact and has a fixed delay; here a piece ends near silence, so a late next one is not heard as a click.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.codec.codec import Codec


@dataclass(frozen=True)
class FifoConfig:
    """Tokens decoded at a time, overlap on each side, the quiet window; threshold: mean absolute sample value."""

    first_chunk_tokens: int = 20
    chunk_tokens: int = 40
    pad_tokens: int = 10
    window_samples: int = 1201
    threshold: float = 0.1
    first_threshold: float | None = None  # of the first chunk; None: as threshold

    def __post_init__(self) -> None:
        if self.pad_tokens < 0 or self.chunk_tokens < 1 or self.window_samples < 1:
            raise ValueError("chunk_tokens and window_samples must be at least 1, pad_tokens at least 0")
        if self.first_chunk_tokens < self.pad_tokens:
            raise ValueError(f"first_chunk_tokens {self.first_chunk_tokens} is less than pad_tokens {self.pad_tokens}")


@dataclass(frozen=True)
class FifoState:
    """`tokens` (n,) that wait or are kept as context, `audio` (S,) that waits, and whether anything was decoded."""

    tokens: Tensor
    audio: Tensor
    begun: bool = False


class TokenFifo:
    """Speech tokens of one stream in, pieces of audio out; the state is passed in and returned."""

    def __init__(self, codec: Codec, global_code: Tensor, config: FifoConfig):
        """`global_code` is one row, as `Codec.decode` takes it."""
        self.codec, self.global_code, self.config = codec, global_code, config

    def initial_state(self) -> FifoState:
        device = self.global_code.device
        return FifoState(torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, device=device))

    def push(self, tokens: Tensor, state: FifoState) -> tuple[list[Tensor], FifoState]:
        """New tokens (k,) to the pieces of audio, each (S,), that are ready now."""
        state = replace(state, tokens=torch.cat([state.tokens, tokens]))
        pieces, config = [], self.config
        while len(state.tokens) >= self._wanted(state):
            first = not state.begun and config.first_threshold is not None
            threshold = config.first_threshold if first else config.threshold
            wav, state = self._decode_chunk(state)
            piece, state = self._cut(wav, threshold, state)
            if len(piece):
                pieces.append(piece)
        return pieces, state

    def finish(self, state: FifoState) -> Tensor:
        """Everything that still waits, (S,), once the last token has been pushed."""
        if not len(state.tokens):
            return state.audio
        wav = self._decoded(state.tokens)
        start = self.config.pad_tokens * self.codec.hop_samples if state.begun else 0
        return torch.cat([state.audio, wav[start:]])

    def _wanted(self, state: FifoState) -> int:
        pad, config = self.config.pad_tokens, self.config
        return 2 * pad + config.chunk_tokens if state.begun else pad + config.first_chunk_tokens

    def _decode_chunk(self, state: FifoState) -> tuple[Tensor, FifoState]:
        """The audio (S,) of the next chunk alone; 2 pads of tokens stay as the next one's context."""
        count, pad = self._wanted(state), self.config.pad_tokens
        wav = self._decoded(state.tokens[:count])
        hop, first = self.codec.hop_samples, pad if state.begun else 0
        return wav[first * hop : (count - pad) * hop], replace(
            state, tokens=state.tokens[count - 2 * pad :], begun=True
        )

    def _cut(self, wav: Tensor, threshold: float, state: FifoState) -> tuple[Tensor, FifoState]:
        """Split what waits and the new chunk at a quiet point of the chunk, if it has one."""
        cut = quiet_cut(wav, self.config.window_samples, threshold)
        if cut is None:
            return wav[:0], replace(state, audio=torch.cat([state.audio, wav]))
        return torch.cat([state.audio, wav[:cut]]), replace(state, audio=wav[cut:])

    @torch.no_grad()
    def _decoded(self, tokens: Tensor) -> Tensor:
        return self.codec.decode(tokens[None], self.global_code)[0]


def quiet_cut(wav: Tensor, window_samples: int, threshold: float) -> int | None:
    """Where to cut wav (S,): its smallest sample near the quietest window of its second half.

    None if no window fits or the quietest is not below `threshold` (mean absolute value). As in the published server
    the search reaches past the window by the window's offset.
    """
    level = wav.abs()
    earliest = max(0, len(wav) // 2 - window_samples // 2)
    if len(wav) - earliest < window_samples:
        return None
    kernel = torch.ones(1, 1, window_samples, dtype=wav.dtype, device=wav.device)
    sums = F.conv1d(level[None, None, earliest:], kernel)[0, 0]
    offset = int(sums.argmin())
    if float(sums[offset]) / window_samples >= threshold:
        return None
    start = earliest + offset
    return start + int(level[start : start + offset + window_samples].argmin())
