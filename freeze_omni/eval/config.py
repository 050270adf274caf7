"""decode.yaml: how much of each subject is decoded in stage 11, and how it is scored in stage 12."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from freeze_omni.config import build, read_yaml
from freeze_omni.session.answer import AnswerConfig

LLM = "llm"  # the way of a transcript that the LLM writes
_ALL = 10**9


@dataclass(frozen=True)
class AsrDecodeConfig:
    """chunk_sizes: encoder frames of a chunk, 0 for infinite. llm: the transcript by the LLM, too, if the model has
    task tokens; llm_utterances: of so many, evenly from the set.
    """

    utterances: int = 60
    chunk_sizes: tuple[int, ...] = (4, 0)
    batch: int = 16
    llm: bool = False
    llm_max_tokens: int = 48
    llm_utterances: int = _ALL

    @property
    def ways(self) -> list[str]:
        """Names of the transcripts of an utterance: `chunk4`, `chunk_inf` for 0, `llm`."""
        chunks = [f"chunk{size}" if size else "chunk_inf" for size in self.chunk_sizes]
        return [*chunks, LLM] if self.llm else chunks


@dataclass(frozen=True)
class QaDecodeConfig:
    """questions: a dialogue counts once, with all its rounds."""

    questions: int = 60
    batch: int = 32
    max_new_tokens: int = 40


@dataclass(frozen=True)
class OutsideConfig:
    """Sets that were made elsewhere (eval/outside.py).

    questions: the first so many of each. voice: speaks those without sound. tail_s: silence after each sound, in which
    state 1 may come.
    """

    questions: int = 100
    voice: str = "piper:en_US-joe-medium"
    tail_s: float = 2.5


@dataclass(frozen=True)
class TtsDecodeConfig:
    """draws: how often each top-k above 1 is spoken, each time by another seed; figures are of all of them.
    tokens_per_pass: with which the setting of sessions is spoken, too, of a speech decoder that has learned them."""

    sentences: int = 24
    top_k: tuple[int, ...] = (1, 2, 3, 4, 5)
    tokens_per_pass: tuple[int, ...] = ()
    batch: int = 24
    draws: int = 1

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError("tts: draws is 1 or more")


@dataclass(frozen=True)
class CodecDecodeConfig:
    utterances: int = 40
    batch: int = 16


@dataclass(frozen=True)
class StateDecodeConfig:
    scenes: int = 60
    batch: int = 32


@dataclass(frozen=True)
class TakeRule:
    """When a decision counts as taking the turn; see eval/states.py."""

    chunk_s: float = 0.16
    threshold: float = 0.5
    early_s: float = 0.16
    late_s: float = 1.6


@dataclass(frozen=True)
class LatencyDecodeConfig:
    """tail_s: silence after each question, within which state 1 is awaited. max_new_tokens: longest answer."""

    questions: int = 12
    tail_s: float = 2.5
    max_new_tokens: int = 40


@dataclass(frozen=True)
class DuplexDecodeConfig:
    """pace: factor on the time of the model's work; with 0 latencies are of its decisions alone, on any machine. batch:
    scenes in lock step, where pace is 0. pauses: answers pause while somebody speaks. baselines: also with turns that
    end in other ways: `vad`, after half a second of silence, whatever was said; `smart_turn`, after a shorter one if
    that model hears the end of a turn.
    """

    max_new_tokens: int = 40
    pace: float = 1.0
    batch: int = 16
    pauses: bool = True
    baselines: tuple[Literal["vad", "smart_turn"], ...] = ()

    def __post_init__(self) -> None:
        if self.pace < 0 or self.batch < 1:
            raise ValueError("duplex: pace is 0 or more, batch 1 or more")


@dataclass(frozen=True)
class JudgeConfig:
    """How clips are joined and when an assignment of words is in doubt."""

    language: str = "en"
    window_s: float = 28.0
    gap_s: float = 0.6
    slack_s: float = 0.35
    words_per_s: float = 6.0
    silence_rms: float = 1e-3
    beam: int = 1
    threads: int = 2


@dataclass(frozen=True)
class SetScoreConfig:
    """Of one test set in another language: what it has in place of `normaliser` and of the judge's `language`."""

    normaliser: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class ScoreConfig:
    """normaliser: of eval/wer.py. sets: what some sets, by the name of their folder, have of their own. dnsmos,
    speaker_similarity: see eval/quality.py, on `quality_clips` of each kind."""

    normaliser: str = "english"
    dnsmos: bool = False
    speaker_similarity: bool = False
    quality_clips: int = 12
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    takes: TakeRule = field(default_factory=TakeRule)
    sets: dict[str, SetScoreConfig] = field(default_factory=dict)

    def of(self, name: str) -> ScoreConfig:
        """How the set of that name is scored."""
        own = self.sets.get(name, SetScoreConfig())
        judge = replace(self.judge, language=own.language or self.judge.language)
        return replace(self, normaliser=own.normaliser or self.normaliser, judge=judge)


@dataclass(frozen=True)
class DecodeConfig:
    """All of decode.yaml. answers: how answers are written, cut and spoken; None: as the packed model says."""

    asr: AsrDecodeConfig = field(default_factory=AsrDecodeConfig)
    qa: QaDecodeConfig = field(default_factory=QaDecodeConfig)
    outside: OutsideConfig = field(default_factory=OutsideConfig)
    tts: TtsDecodeConfig = field(default_factory=TtsDecodeConfig)
    codec: CodecDecodeConfig = field(default_factory=CodecDecodeConfig)
    states: StateDecodeConfig = field(default_factory=StateDecodeConfig)
    latency: LatencyDecodeConfig = field(default_factory=LatencyDecodeConfig)
    duplex: DuplexDecodeConfig = field(default_factory=DuplexDecodeConfig)
    answers: AnswerConfig | None = None
    score: ScoreConfig = field(default_factory=ScoreConfig)

    def whole_sets(self, max_new_tokens: int) -> DecodeConfig:
        """The same settings without limits on how much is decoded. max_new_tokens: longest text of the LLM."""
        return replace(
            self,
            asr=replace(self.asr, utterances=_ALL, llm_utterances=_ALL, llm_max_tokens=max_new_tokens),
            qa=replace(self.qa, questions=_ALL, max_new_tokens=max_new_tokens),
            tts=replace(self.tts, sentences=_ALL),
            codec=replace(self.codec, utterances=_ALL),
            states=replace(self.states, scenes=_ALL),
            latency=replace(self.latency, questions=_ALL),
            duplex=replace(self.duplex, max_new_tokens=max_new_tokens),
        )


def read_config(path: Path | None) -> DecodeConfig:
    """decode.yaml, or its defaults. Raises ConfigError."""
    return build(DecodeConfig, {} if path is None else read_yaml(path), str(path or "defaults"))
