"""The subjects of evaluation, each a module, and decode.yaml: how much of each is decoded and how it is scored."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.config import build, read_yaml
from freeze_omni.eval import asr, codec, latency, qa, states, tts
from freeze_omni.eval.asr import AsrDecodeConfig
from freeze_omni.eval.codec import CodecDecodeConfig
from freeze_omni.eval.duplex import subject as duplex
from freeze_omni.eval.duplex.subject import DuplexDecodeConfig
from freeze_omni.eval.judge import JudgeConfig
from freeze_omni.eval.latency import LatencyDecodeConfig
from freeze_omni.eval.qa import QaDecodeConfig
from freeze_omni.eval.report import Report, Section
from freeze_omni.eval.runner import DecodeJob
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


class Decoder(Protocol):
    """A module that decodes."""

    def decode(self, job: DecodeJob) -> dict[str, dict[str, Any]]:
        """Stage 11: one test set, into one folder; returns the records."""


class Subject(Decoder, Protocol):
    """A module of a subject."""

    def score(self, root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
        """Stage 12: figures of a decoding root by name; none if its folder is missing."""

    def headline(self, figures: Mapping[str, Any], sets: Mapping[str, str]) -> dict[str, Any]:
        """Its figures among the KEYS of results.py. sets: ASR test sets that are `seen`, `unseen`, `real`."""

    @property
    def SECTIONS(self) -> Sequence[Section]:
        """Its sections of RESULTS.md."""

    def evaluate(self, args: argparse.Namespace, config: DecodeConfig) -> Report:
        """`freeze-omni eval`: a report on a model, or on the outputs of another system."""


SUBJECTS: dict[str, Subject] = {
    "asr": asr,
    "tts": tts,
    "qa": qa,
    "states": states,
    "duplex": duplex,
    "latency": latency,
}
"""In the order of RESULTS.md; the codec's copies are scored by tts."""

DECODERS: dict[str, Decoder] = {
    "asr": asr,
    "qa": qa,
    "states": states,
    "codec": codec,
    "tts": tts,
    "latency": latency,
    "duplex": duplex,
}
"""In the order of stage 11."""


def score_root(root: Path, config: DecodeConfig, judge: Path | None) -> dict[str, Any]:
    """All figures of one model. WER is in percent, shares and accuracies are fractions, times are seconds.

    Subjects that were not decoded are left out. Without a judge, speech is not scored.
    """
    found: dict[str, Any] = {}
    for subject in SUBJECTS.values():
        found |= subject.score(root, config, judge)
    return {name: figures for name, figures in found.items() if figures}
