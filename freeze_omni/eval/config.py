"""decode.yaml: how much of each subject is decoded in stage 11, and how it is scored in stage 12."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from freeze_omni.config import build, read_yaml
from freeze_omni.eval.asr import AsrDecodeConfig
from freeze_omni.eval.codec import CodecDecodeConfig
from freeze_omni.eval.duplex.subject import DuplexDecodeConfig
from freeze_omni.eval.judge import JudgeConfig
from freeze_omni.eval.latency import LatencyDecodeConfig
from freeze_omni.eval.qa import QaDecodeConfig
from freeze_omni.eval.states import StateDecodeConfig, TakeRule
from freeze_omni.eval.tts import TtsDecodeConfig
from freeze_omni.session.answer import AnswerConfig

_ALL = 10**9


@dataclass(frozen=True)
class ScoreConfig:
    """normaliser: of eval/normalise.py. dnsmos, speaker_similarity: further figures of speech, see eval/quality.py, on
    `quality_clips` clips of each kind.
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

    def whole_sets(self, max_new_tokens: int) -> DecodeConfig:
        """The same settings without limits on how much is decoded. max_new_tokens: longest text of the LLM."""
        return replace(
            self,
            asr=replace(self.asr, utterances=_ALL, llm_max_tokens=max_new_tokens),
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
