"""An answer in the making: writing and speaking in turns, so that speech starts with the first segment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session.events import AnswerMade, Result, Spoke, Wrote
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Job
from freeze_omni.session.answer import ChunkSchedule, Speaker
from freeze_omni.session.answer import Writer
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


class Generators(NamedTuple):
    """Of what is drawn: one for the text and one for the speech, so that neither depends on the other's pace."""

    text: torch.Generator
    speech: torch.Generator

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> Generators:
        return cls(*(torch.Generator(device).manual_seed(2 * seed + lane) for lane in (0, 1)))


RUNAWAY = 3.0
"""A segment that takes so many times the speech tokens that its text should take is stopped."""


def own_answers(model: SpokenModel) -> AnswerConfig:
    """How the packed model says that its answers are written, cut and spoken, with a guard against a missing end."""
    config, sampling = model.config, own_sampling(model)
    chunks = ChunkSchedule()
    if config.fifo is not None:
        first, later = config.fifo.first_chunk_tokens, config.fifo.chunk_tokens
        later = max(first, later)
        chunks = ChunkSchedule(first, later, grows=later)  # at once, by no division
    return AnswerConfig(config.generation, config.segments, sampling, chunks)


def own_sampling(model: SpokenModel) -> SamplingConfig:
    """How the model says that its speech tokens are drawn, with the guard."""
    sampling = model.config.sampling
    if sampling.max_tokens_per_row:
        return sampling
    return replace(sampling, max_tokens_per_row=RUNAWAY * model.config.speech_decoder.tokens_per_row)


@dataclass(eq=False)
class Answer:
    """One answer. `milestones` names every piece of work done, for who measures.

    Writing and speaking are two lanes: pieces of one may be made while a piece of the other is being made.
    """

    config: AnswerConfig
    writer: Writer
    speaker: Speaker
    milestones: list[str] = field(default_factory=list)
    ended: bool = False

    @classmethod
    def begin(
        cls, model: SpokenModel, last: Tensor, cache: LlmCache, config: AnswerConfig, generators: Generators
    ) -> Answer:
        """last (E,): hidden state of the last position in `cache`, from which the answer follows."""
        writer = Writer(model, cache, last, config.generation, config.segments, generators.text)
        speaker = Speaker(model, config.sampling, config.chunks, generators.speech, config.prefix)
        return cls(config, writer, speaker)

    @property
    def may_write(self) -> bool:
        return not self.writer.done

    @property
    def may_speak(self) -> bool:
        """Something is there to be spoken, or all is spoken and the end is to be told."""
        return not self.ended and (not self.speaker.idle or self.writer.done)

    def working(self) -> Job[list[Result]]:
        """One small piece of work: what is cut is spoken before more is written."""
        return self.speaking() if self.may_speak else self.writing()

    def speaking(self) -> Job[list[Result]]:
        """One piece of the voice; the last is the end of the answer."""
        if not self.speaker.idle:
            name, spoke = yield from self.speaker.speaking()
            self.milestones.append(name)
            return [] if spoke is None else [spoke]
        self.ended = True
        tail = yield from self.speaker.ending()
        self.milestones.append("end")
        made = AnswerMade(self.writer.cut)
        if not len(tail):
            return [made]
        end = len(self.writer.ids)
        return [Spoke(tail, end, end, True), made]

    def writing(self) -> Job[list[Result]]:
        """One token more."""
        delta, segments = yield from self.writer.writing()
        self.milestones.append("segment" if segments else "token")
        if self.config.speech:
            for segment in segments:
                self.speaker.add(segment, self.writer.states(segment))
        return [Wrote(delta)] if delta else []
