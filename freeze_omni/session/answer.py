"""An answer: the LLM writes it token by token, cuts it into segments, and each is spoken as soon as it is cut."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.codec.fifo import FifoState, TokenFifo
from freeze_omni.llm.engine import Cache, LlmOutput
from freeze_omni.llm.generate import GenerationConfig, choose
from freeze_omni.session.events import AnswerMade, Result, Spoke, Wrote
from freeze_omni.session.history import embed
from freeze_omni.session.ops import DrawToken, Job, MakeSound, Read, StartSpeech
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import SegmentConfig, SegmentState, TextSegment, finish, push
from freeze_omni.streaming import State
from freeze_omni.system import FreezeOmni

RUNAWAY = 3.0  # a segment is stopped at this multiple of the speech tokens that its text should take
INCOMPLETE = "\ufffd"


@dataclass(frozen=True, order=True)
class ChunkSchedule:
    """Speech tokens of an answer's codec chunks: the first, and each `grows` times the one before up to `later`.

    The released server waits for 20, then 40. Ours starts smaller, as the user waits for the first chunk, and grows
    slowly, as the second is made while the first is heard.
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
            size = min(size * self.grows, self.later)
        return int(size)


@dataclass(frozen=True)
class AnswerConfig:
    """How answers are written, cut and spoken. prefix: the NAR prefix reads the LLM's hidden states."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    chunks: ChunkSchedule = field(default_factory=ChunkSchedule)
    prefix: bool = True
    speech: bool = True


def own_answers(model: FreezeOmni) -> AnswerConfig:
    """The packed model's own way to write, cut and speak, with a guard against a missing end."""
    config, chunks = model.config, ChunkSchedule()
    if config.fifo is not None:
        first, later = config.fifo.first_chunk_tokens, max(config.fifo.first_chunk_tokens, config.fifo.chunk_tokens)
        chunks = ChunkSchedule(first, later, grows=later)  # full size from the second chunk on
    return AnswerConfig(config.generation, config.segments, own_sampling(model), chunks)


def own_sampling(model: FreezeOmni) -> SamplingConfig:
    """The model's own way to draw speech tokens, with the guard."""
    sampling, guard = model.config.sampling, RUNAWAY * model.config.speech_decoder.tokens_per_row
    return replace(sampling, max_tokens_per_row=sampling.max_tokens_per_row or guard)


@dataclass(eq=False)
class Writer:
    """The text of one answer. `ids` and `hidden` grow together: a token comes with the state that predicted it.

    last: the LLM's output for the last position that `cache` holds, at first of the user's suffix. A token enters the
    cache when the next one is asked for. So the last one may stay out, and so does the end token, which is not part
    of the answer: the next turn's prefix begins with it.
    """

    model: FreezeOmni
    cache: Cache
    last: LlmOutput
    config: AnswerConfig
    generator: torch.Generator
    ids: list[int] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    done: bool = False
    _text: str = ""
    _unshown: int = 0
    _waiting: SegmentState = SegmentState()

    def write(self) -> Job[tuple[str, list[TextSegment]]]:
        """One more token: the new text (maybe none yet), and the segments that became ready."""
        generation = self.config.generation
        token: int | None = None
        if len(self.ids) < generation.max_new_tokens:
            if self.ids:
                self.last = yield Read(embed(self.model, self.ids[-1:]), self.cache, predict=True)
            token = int(choose(self.last.logits[None], generation, self.generator)[0])
        if token is None or token in self.model.llm.end_ids:
            self.done = True
            segments, self._waiting = finish(self._waiting)
            return "", segments
        self.ids.append(token)
        self.hidden.append(self.last.hidden)
        self._unshown += 1
        text = self.model.llm.tokenizer.decode(self.ids, skip_special_tokens=True)
        if text.endswith(INCOMPLETE):  # half a character
            return "", []
        delta, self._text = text[len(self._text) :], text
        segments, self._waiting = push(self.config.segments, self._waiting, delta, self._unshown)
        self._unshown = 0
        return delta, segments


@dataclass(eq=False)
class Answer:
    """One answer in the making. `milestones` names every piece of work done, for measurements.

    It is made in two lanes, `write` and `speak`: a piece of one may be made while a piece of the other is.
    """

    model: FreezeOmni
    config: AnswerConfig
    writer: Writer
    generator: torch.Generator
    milestones: list[str] = field(default_factory=list)
    tokens_made: int = 0
    chunks_made: int = 0
    ended: bool = False
    _queue: list[tuple[TextSegment, Tensor]] = field(default_factory=list)
    _segment: TextSegment | None = None
    _segment_done: bool = False
    _decoder: State | None = None
    _room: int = 0
    _ready: list[int] = field(default_factory=list)
    _codec: State | None = None
    _fifo: FifoState | None = None
    _silent_samples: int = 0

    @property
    def _idle(self) -> bool:
        """Whether all that was written so far is spoken."""
        return self._segment is None and not self._queue

    def may(self, lane: str) -> bool:
        """Whether there is work in a lane: `write`, or `speak`, whose last piece is the end of the answer."""
        if lane == "write":
            return not self.writer.done
        return not self.ended and (not self._idle or self.writer.done)

    def may_begin(self, lane: str) -> bool:
        """As `may`, up to the first sound, or without speech the first segment."""
        begun = self.chunks_made > 0 if self.config.speech else "segment" in self.milestones
        if begun or lane == "speak":
            return not begun and not self._idle
        return self._idle and self.may(lane)

    def make(self, lane: str) -> Job[list[Result]]:
        """One small piece of work; only while `may`."""
        return self._write() if lane == "write" else self._speak()

    def _write(self) -> Job[list[Result]]:
        delta, segments = yield from self.writer.write()
        self.milestones.append("segment" if segments else "token")
        if self.config.speech:
            hidden = self.writer.hidden
            for one in segments:
                self._queue.append((one, torch.stack(hidden[one.first_token : one.end_token])))
        return [Wrote(delta)] if delta else []

    def _speak(self) -> Job[list[Result]]:
        """The decoder reads a segment (`prefill`), draws the tokens of a codec chunk (`tokens`), or the codec decodes
        them (`audio`); at last the `end`."""
        results: list[Result] = []
        if self._idle:
            name, self.ended = "end", True
            tail, end = (yield from self._tail()), len(self.writer.ids)
            results = [Spoke(tail, end, end, True)] if len(tail) else []
            results.append(AnswerMade(cut=end >= self.config.generation.max_new_tokens))
        elif self._segment is None:
            name = "prefill"
            yield from self._prefill()
        elif not self._ready and not self._segment_done:
            name = "tokens"
            yield from self._draw()
        else:
            name, results = "audio", [(yield from self._decode())]
        self.milestones.append(name)
        return results

    def _prefill(self) -> Job[None]:
        self._segment, hidden = self._queue.pop(0)
        ids = self.model.spoken_ids(self._segment.text)
        self._segment_done = not ids
        if not ids:
            return
        decoder, dtype = self.model.speech_decoder, next(self.model.speech_decoder.parameters()).dtype
        rows = hidden.to(dtype) if self.config.prefix else None
        self._decoder = yield StartSpeech(embed(self.model, ids).to(dtype), rows, self.config.sampling)
        self._room = decoder.config.max_positions - int(self._decoder["rows"].max()) - 2

    def _draw(self) -> Job[None]:
        """Speech tokens of one codec chunk, fewer at the end of the segment."""
        wanted = self.config.chunks.size(self.chunks_made)
        eos = self.model.speech_decoder.config.eos
        while len(self._ready) < wanted and not self._segment_done:
            token, self._decoder = yield DrawToken(self._decoder, self.config.sampling, self.generator)
            self._room -= 1
            self._segment_done = token == eos or self._room <= 0
            if token != eos:
                self._ready.append(token)
        self.tokens_made += len(self._ready)

    def _decode(self) -> Job[Spoke]:
        segment, ends = self._segment, self._segment_done
        samples = np.zeros(0, dtype=np.float32)
        self.chunks_made += bool(self._ready)
        if self._ready and self.model.config.fifo is not None:
            samples, self._ready = self._quiet_pieces(self._ready), []
        elif self._ready:
            if self._codec is None:
                self._silent_samples = self.model.codec.delay_samples
            wav, self._codec = yield MakeSound(tuple(self._ready), self._codec)
            samples, self._ready = self._audible(wav), []
        if ends:
            self._segment, self._decoder = None, None
        return Spoke(samples, segment.first_token, segment.end_token, ends)

    def _tail(self) -> Job[np.ndarray]:
        """The end of the answer's audio, which the codec held back."""
        if self._fifo is not None:
            rest, self._fifo = self._token_fifo().finish(self._fifo), None
            return _samples(rest)
        if self._codec is None:
            return np.zeros(0, dtype=np.float32)
        tail, _ = yield MakeSound((), self._codec)
        self._codec = None
        return self._audible(tail)

    def _quiet_pieces(self, tokens: list[int]) -> np.ndarray:
        """What the published server's FIFO gives out now: pieces that end where it is quiet."""
        fifo = self._token_fifo()
        state = fifo.initial_state() if self._fifo is None else self._fifo
        pieces, self._fifo = fifo.push(torch.tensor(tokens, device=self.model.voice.device), state)
        return np.concatenate([np.zeros(0, dtype=np.float32), *map(_samples, pieces)])

    def _token_fifo(self) -> TokenFifo:
        return TokenFifo(self.model.codec, self.model.voice, self.model.config.fifo)

    def _audible(self, wav: np.ndarray) -> np.ndarray:
        """(S,) without the silence of the codec's delay."""
        dropped = min(self._silent_samples, len(wav))
        self._silent_samples -= dropped
        return wav[dropped:]


def _samples(wav: Tensor) -> np.ndarray:
    return wav.clamp(-1, 1).float().cpu().numpy()
