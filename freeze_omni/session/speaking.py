"""The voice: segments of the answer to speech tokens, and those, in growing chunks, to audio."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from freeze_omni.codec.fifo import FifoState, TokenFifo
from freeze_omni.session.events import Spoke
from freeze_omni.session.history import embed
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import DrawToken, Job, MakeSound, StartSpeech
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import TextSegment
from freeze_omni.streaming import State


@dataclass(frozen=True, order=True)
class ChunkSchedule:
    """Speech tokens of an answer's codec chunks: the first, and each `grows` times the one before up to `later`.

    The released server waits for 20, then 40. Ours starts smaller, as the user waits for the first chunk, and grows
    slowly: the second must be made while the first is heard.
    """

    first: int = 8
    later: int = 24
    grows: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.later or self.grows < 1:
            raise ValueError(f"chunks of {self.first} to {self.later} tokens, by {self.grows}: they must not shrink")

    def size(self, chunk: int) -> int:
        """Tokens of the chunk-th chunk of an answer, counted from 0."""
        size = float(self.first)
        for _ in range(chunk):
            if size >= self.later or self.grows == 1:
                break
            size *= self.grows
        return min(int(size), self.later)


@dataclass(eq=False)
class Speaker:
    """Speaks the segments of one answer, in order; every `speaking` is one small piece of work."""

    model: SpokenModel
    sampling: SamplingConfig
    schedule: ChunkSchedule
    generator: torch.Generator
    prefix: bool = True
    tokens_made: int = 0
    chunks_made: int = 0
    _queue: list[tuple[TextSegment, Tensor]] = field(default_factory=list)
    _segment: TextSegment | None = None
    _decoder: State | None = None
    _room: int = 0
    _ready: list[int] = field(default_factory=list)
    _segment_done: bool = False
    _codec: State | None = None
    _fifo: FifoState | None = None
    _silent_samples: int = 0

    @property
    def idle(self) -> bool:
        """Nothing is left to say of what was given so far."""
        return self._segment is None and not self._queue

    def add(self, segment: TextSegment, hidden: Tensor) -> None:
        """Queue a segment with the hidden states (N, E) of its tokens."""
        self._queue.append((segment, hidden))

    def speaking(self) -> Job[tuple[str, Spoke | None]]:
        """The next piece of work: its name (`prefill`, `tokens`, `audio`), and the audio that it made."""
        if self._segment is None:
            yield from self._prefilling()
            return "prefill", None
        if not self._ready and not self._segment_done:
            yield from self._drawing()
            return "tokens", None
        return "audio", (yield from self._decoding())

    def ending(self) -> Job[np.ndarray]:
        """The end of the answer's audio, which the codec held back."""
        if self._fifo is not None:
            rest, self._fifo = self._token_fifo().finish(self._fifo), None
            return _samples(rest)
        if self._codec is None:
            return np.zeros(0, dtype=np.float32)
        tail, _ = yield MakeSound((), self._codec)
        self._codec = None
        return self._audible(tail)

    def _prefilling(self) -> Job[None]:
        """The decoder reads text and hidden states."""
        self._segment, hidden = self._queue.pop(0)
        ids = self.model.spoken_ids(self._segment.text)
        self._segment_done = not ids
        if self._segment_done:
            return
        decoder = self.model.speech_decoder
        dtype = next(decoder.parameters()).dtype
        text = embed(self.model, ids).to(dtype)
        rows = hidden.to(dtype) if self.prefix else None
        self._decoder = yield StartSpeech(text, rows, self.sampling)
        self._room = decoder.config.max_positions - int(self._decoder["rows"].max()) - 2

    def _drawing(self) -> Job[None]:
        """Speech tokens of one codec chunk, fewer where the segment ends."""
        wanted = self.schedule.size(self.chunks_made)
        eos = self.model.speech_decoder.config.eos
        while len(self._ready) < wanted and not self._segment_done:
            token, self._decoder = yield DrawToken(self._decoder, self.sampling, self.generator)
            self._room -= 1
            self._segment_done = token == eos or self._room <= 0
            if token != eos:
                self._ready.append(token)
        self.tokens_made += len(self._ready)

    def _decoding(self) -> Job[Spoke]:
        segment, ends = self._segment, self._segment_done
        samples = np.zeros(0, dtype=np.float32)
        self.chunks_made += bool(self._ready)
        if self._ready and self.model.config.fifo is not None:
            samples, self._ready = self._quiet_pieces(self._ready), []
        elif self._ready:
            if self._codec is None:
                self._silent_samples = self.model.codec.delay_samples
            wav, self._codec = yield MakeSound(tuple(self._ready), self._codec)
            samples = self._audible(wav)
            self._ready = []
        if ends:
            self._segment, self._decoder = None, None
        return Spoke(samples, segment.first_token, segment.end_token, ends)

    def _quiet_pieces(self, tokens: list[int]) -> np.ndarray:
        """What the published server's FIFO gives out now: pieces that end where it is quiet."""
        fifo = self._token_fifo()
        state = fifo.initial_state() if self._fifo is None else self._fifo
        pieces, self._fifo = fifo.push(torch.tensor(tokens, device=self.model.voice.device), state)
        return np.concatenate([np.zeros(0, dtype=np.float32), *map(_samples, pieces)])

    def _token_fifo(self) -> TokenFifo:
        return TokenFifo(self.model.codec, self.model.voice, self.model.config.fifo)

    def _audible(self, wav: np.ndarray) -> np.ndarray:
        """(S,) without the silence by which the codec's stream is late."""
        dropped = min(self._silent_samples, len(wav))
        self._silent_samples -= dropped
        return wav[dropped:]


def _samples(wav: Tensor) -> np.ndarray:
    return wav.clamp(-1, 1).float().cpu().numpy()
