"""An answer in the making: writing and speaking in turns, so that speech starts with the first segment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session.events import AnswerMade, Result, Spoke, Wrote
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.speaking import ChunkSchedule, Speaker
from freeze_omni.session.writing import Writer
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.speech_decoder.segment import SegmentConfig


@dataclass(frozen=True)
class AnswerConfig:
    """How answers are written, cut and spoken. prefix: the NAR prefix reads the LLM's hidden states."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    segments: SegmentConfig = field(default_factory=lambda: SegmentConfig(rule="sentence"))
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    chunks: ChunkSchedule = field(default_factory=ChunkSchedule)
    prefix: bool = True
    speech: bool = True


RUNAWAY = 3.0
"""A segment that takes so many times the speech tokens that its text should take is stopped."""


def own_answers(model: SpokenModel) -> AnswerConfig:
    """How the packed model says that its answers are written, cut and spoken, with a guard against a missing end."""
    config, sampling = model.config, model.config.sampling
    if not sampling.max_tokens_per_row:
        most = RUNAWAY * config.speech_decoder.tokens_per_row
        sampling = replace(sampling, max_tokens_per_row=most)
    chunks = ChunkSchedule()
    if config.fifo is not None:
        first, later = config.fifo.first_chunk_tokens, config.fifo.chunk_tokens
        chunks = ChunkSchedule(first, max(first, later))
    return AnswerConfig(config.generation, config.segments, sampling, chunks)


@dataclass
class Answering:
    """One answer. `milestones` names every piece of work done, for who measures."""

    config: AnswerConfig
    writer: Writer
    speaker: Speaker
    milestones: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        model: SpokenModel,
        last: Tensor,
        cache: LlmCache,
        config: AnswerConfig,
        generator: torch.Generator | None = None,
    ) -> Answering:
        """last (E,): hidden state of the last position in `cache`, from which the answer follows."""
        writer = Writer.begin(model, last, cache, config.generation, config.segments, generator)
        speaker = Speaker(model, config.sampling, config.chunks, generator, config.prefix)
        return cls(config, writer, speaker)

    def work(self) -> list[Result]:
        """One small piece of work: what is cut is spoken before more is written."""
        if not self.speaker.idle:
            name, spoke = self.speaker.speak()
            self.milestones.append(name)
            return [] if spoke is None else [spoke]
        if not self.writer.done:
            return self._write()
        tail = self.speaker.flush()
        self.milestones.append("end")
        made = AnswerMade(self.writer.cut)
        if not len(tail):
            return [made]
        end = len(self.writer.ids)
        return [Spoke(tail, end, end, True), made]

    def _write(self) -> list[Result]:
        delta, segments = self.writer.write()
        self.milestones.append("segment" if segments else "token")
        if self.config.speech:
            for segment in segments:
                self.speaker.add(segment, self.writer.states(segment))
        return [Wrote(delta)] if delta else []
