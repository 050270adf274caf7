"""A codec of another library with our interface: a subclass wraps it, the configuration names the subclass."""

import importlib

import torch
from torch import Tensor, nn

from freeze_omni.codec.base import BaseCodec, Device, full_lengths
from freeze_omni.codec.config import CodecConfig
from freeze_omni.config import ConfigError
from freeze_omni.streaming import State


class ExternalCodec(BaseCodec):
    """Base of a wrapped codec: write `encode_rows`, `decode_rows`, and `voice_rows` if voices differ.

    context_tokens, lookahead_tokens: how many tokens before and after a token change its samples. Streaming decodes
    new tokens together with these; with enough of both it equals decoding at once.
    """

    context_tokens = 8
    lookahead_tokens = 2

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config)
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)  # its device and dtype are the codec's

    def encode_rows(self, wav: Tensor) -> Tensor:
        """(B, S), S a multiple of the hop, to tokens (B, S / hop_samples) long."""
        raise NotImplementedError

    def decode_rows(self, tokens: Tensor, voice: Tensor) -> Tensor:
        """Tokens (B, T) and voices (B, dim) or (B, global tokens) to (B, T * hop_samples)."""
        raise NotImplementedError

    def voice_rows(self, wav: Tensor) -> Tensor:
        """The voice of references (B, S); zeros if the codec has none."""
        code = self.config.global_code
        kind = torch.long if code.tokens else torch.get_default_dtype()
        return torch.zeros(len(wav), code.tokens or code.dim, dtype=kind, device=wav.device)

    @property
    def delay_tokens(self) -> int:
        return self.lookahead_tokens

    @torch.no_grad()
    def encode(self, wav: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        # a row is encoded without its padding
        lengths = full_lengths(wav) if lengths is None else lengths
        sizes = -(-lengths // self.hop_samples)
        tokens = torch.zeros(len(wav), int(sizes.max()), dtype=torch.long, device=wav.device)
        for row, (length, size) in enumerate(zip(lengths.tolist(), sizes.tolist(), strict=True)):
            padded = nn.functional.pad(wav[row : row + 1, :length], (0, size * self.hop_samples - length))
            tokens[row, :size] = self.encode_rows(padded)[0]
        return tokens, sizes, self.global_code(wav, lengths)

    @torch.no_grad()
    def global_code(self, wav: Tensor, lengths: Tensor) -> Tensor:
        return torch.cat([self.voice_rows(wav[row : row + 1, :n]) for row, n in enumerate(lengths.tolist())])

    @torch.no_grad()
    def decode(self, tokens: Tensor, global_code: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = full_lengths(tokens) if lengths is None else lengths
        voice = global_code.expand(len(tokens), -1)
        out = self.place.new_zeros(len(tokens), tokens.shape[1] * self.hop_samples)
        for row, length in enumerate(lengths.tolist()):
            if length:
                wav = self.decode_rows(tokens[row : row + 1, :length], voice[row : row + 1])
                out[row, : length * self.hop_samples] = wav[0]
        return out

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype = torch.float32) -> State:
        """The last tokens (B, context + lookahead), -1 before the first."""
        size = self.context_tokens + self.lookahead_tokens
        return {"tokens": torch.full((batch_size, size), -1, dtype=torch.long, device=device or self.place.device)}

    @torch.no_grad()
    def step(self, tokens: Tensor, state: State, global_code: Tensor) -> tuple[Tensor, State]:
        joined, count = torch.cat([state["tokens"], tokens], dim=1), tokens.shape[1]
        return self._last_but_lookahead(joined, count, global_code), {"tokens": joined[:, count:]}

    @torch.no_grad()
    def flush(self, state: State, global_code: Tensor) -> Tensor:
        joined = nn.functional.pad(state["tokens"], (0, self.lookahead_tokens), value=-1)
        return self._last_but_lookahead(joined, self.lookahead_tokens, global_code)

    def _last_but_lookahead(self, joined: Tensor, count: int, global_code: Tensor) -> Tensor:
        """Samples of the `count` tokens before the last lookahead_tokens, each row without its gaps."""
        hop, voice = self.hop_samples, global_code.expand(len(joined), -1)
        end = joined.shape[1] - self.lookahead_tokens
        out = self.place.new_zeros(len(joined), count * hop)
        for row in range(len(joined)):
            known = (joined[row] >= 0).nonzero()[:, 0]
            if len(known):
                first, last = int(known[0]), int(known[-1]) + 1
                wav = self.decode_rows(joined[row : row + 1, first:last], voice[row : row + 1])[0]
                begin, stop = max(end - count, first), min(end, last)
                if begin < stop:
                    place = (begin - (end - count)) * hop
                    out[row, place : place + (stop - begin) * hop] = wav[(begin - first) * hop : (stop - first) * hop]
        return out


def build_external(config: CodecConfig) -> ExternalCodec:
    """The codec that config.external names. Raises ConfigError: it cannot be imported, or is no ExternalCodec."""
    name = config.external.code
    module, _, cls = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"codec {name}: cannot be imported ({error}); install it, expected `module:Class`") from None
    if not (isinstance(found, type) and issubclass(found, ExternalCodec)):
        raise ConfigError(f"codec {name}: no subclass of freeze_omni.codec.external.ExternalCodec")
    return found(config, **config.external.options).eval()
