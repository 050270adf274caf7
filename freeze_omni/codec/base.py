"""The interface of a speech codec: what training, the speech decoder and sessions ask of it."""

import torch
from torch import Tensor, nn

from freeze_omni.codec.config import CodecConfig
from freeze_omni.streaming import State

type Device = torch.device | None


class BaseCodec(nn.Module):
    """Tokens and a voice from audio, and back; a voice is (B, dim) float, or (B, tokens) long if quantised."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config

    @property
    def hop_samples(self) -> int:
        return self.config.hop_samples

    @property
    def codebook_size(self) -> int:
        return self.config.quantiser.codebook_size

    @property
    def delay_tokens(self) -> int:
        """How many tokens late `step` gives out audio."""
        raise NotImplementedError

    @property
    def delay_samples(self) -> int:
        """How late `step` gives out a sample; a stream starts with as much silence."""
        return self.delay_tokens * self.hop_samples

    def encode(self, wav: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Audio (B, S) in [-1, 1] to tokens (B, ceil(S / hop)), 0 after their lengths (B,), and the voice."""
        raise NotImplementedError

    def global_code(self, wav: Tensor, lengths: Tensor) -> Tensor:
        """The voice of references (B, S): (B, dim) float, or (B, global tokens) long."""
        raise NotImplementedError

    def decode(self, tokens: Tensor, global_code: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens (B, T) and a global code (B or 1 rows) to audio (B, T * hop); silence after `lengths` (B,)."""
        raise NotImplementedError

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype = torch.float32) -> State:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: State, global_code: Tensor) -> tuple[Tensor, State]:
        """Tokens (B, k) to (B, k * hop) samples, `delay_samples` late; all joined, with the flush, equal `decode`."""
        raise NotImplementedError

    def flush(self, state: State, global_code: Tensor) -> Tensor:
        """The last (B, delay_samples) of a stream that has ended."""
        raise NotImplementedError


def full_lengths(rows: Tensor) -> Tensor:
    """Lengths (B,) of rows (B, T, ...) without padding."""
    return torch.full((len(rows),), rows.shape[1], device=rows.device)
