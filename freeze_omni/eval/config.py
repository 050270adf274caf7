"""decode.yaml: how much is decoded in stage 11, and how it is scored in stage 12."""

from __future__ import annotations

from dataclasses import dataclass, field

from freeze_omni.eval.judge import JudgeConfig
from freeze_omni.eval.states import TakeRule
from freeze_omni.session.answer import AnswerConfig


@dataclass(frozen=True)
class AsrDecodeConfig:
    """chunk_sizes: encoder frames of a chunk, 0 for infinite. llm: the transcript by task tokens too."""

    utterances: int = 60
    chunk_sizes: tuple[int, ...] = (4, 0)
    batch: int = 16
    llm: bool = False
    llm_max_tokens: int = 48


@dataclass(frozen=True)
class QaDecodeConfig:
    """Spoken questions, and the same questions as text. questions: a dialogue counts once, with all its rounds."""

    questions: int = 60
    batch: int = 32
    max_new_tokens: int = 40


@dataclass(frozen=True)
class TtsDecodeConfig:
    """The sweep over top_k, with and without prefix."""

    sentences: int = 24
    top_k: tuple[int, ...] = (1, 2, 3, 4, 5)
    batch: int = 24


@dataclass(frozen=True)
class CodecDecodeConfig:
    """Copies of originals by the codec."""

    utterances: int = 40
    batch: int = 16


@dataclass(frozen=True)
class StateDecodeConfig:
    """Duplex scenes, streamed in lock step."""

    scenes: int = 60
    batch: int = 32


@dataclass(frozen=True)
class DuplexDecodeConfig:
    """Scripted scenes of two voices, played in closed loop.

    max_new_tokens: the longest answer. pace: how much longer the model's work takes on the scenes' clock than here;
    with 0 latencies are those of its decisions alone, and the same on any machine.
    """

    max_new_tokens: int = 40
    pace: float = 1.0


@dataclass(frozen=True)
class LatencyDecodeConfig:
    """Questions asked one by one through a session.

    tail_s: silence behind each in which state 1 is waited for. max_new_tokens: a longer answer says nothing more
    about the latency.
    """

    questions: int = 12
    tail_s: float = 2.5
    max_new_tokens: int = 40


@dataclass(frozen=True)
class ScoreConfig:
    """normaliser: of eval/normalise.py. dnsmos, speaker_similarity: figures beside WER, see eval/quality.py, on
    `quality_clips` clips of each kind of speech.
    """

    normaliser: str = "english"
    dnsmos: bool = False
    speaker_similarity: bool = False
    quality_clips: int = 12
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    takes: TakeRule = field(default_factory=TakeRule)


@dataclass(frozen=True)
class DecodeConfig:
    """All of decode.yaml. answers: how answers are written, cut and spoken; None: as the packed model says."""

    asr: AsrDecodeConfig = field(default_factory=AsrDecodeConfig)
    qa: QaDecodeConfig = field(default_factory=QaDecodeConfig)
    tts: TtsDecodeConfig = field(default_factory=TtsDecodeConfig)
    codec: CodecDecodeConfig = field(default_factory=CodecDecodeConfig)
    states: StateDecodeConfig = field(default_factory=StateDecodeConfig)
    latency: LatencyDecodeConfig = field(default_factory=LatencyDecodeConfig)
    duplex: DuplexDecodeConfig = field(default_factory=DuplexDecodeConfig)
    answers: AnswerConfig | None = None
    score: ScoreConfig = field(default_factory=ScoreConfig)
