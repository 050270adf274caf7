"""The subjects of evaluation, each a module, and decode.yaml: how much of each is decoded and how it is scored."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.eval import asr, codec, latency, qa, states, tts
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.duplex import subject as duplex
from freeze_omni.eval.report import Report, Section
from freeze_omni.eval.runner import DecodeJob


class Decoder(Protocol):
    def decode(self, job: DecodeJob) -> dict[str, dict[str, Any]]:
        """Stage 11: one test set, into one folder; returns the records."""


class Subject(Decoder, Protocol):
    def score(self, root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
        """Stage 12: figures of a decoding root by name. asr and tts skip the folders that are missing."""

    @property
    def SECTIONS(self) -> Sequence[Section]:
        """Its sections of RESULTS.md."""

    def evaluate(self, args: argparse.Namespace, config: DecodeConfig) -> Report:
        """`freeze-omni eval`: a report on a model, or on the outputs of another system."""


SUBJECTS: dict[str, Subject] = dict(asr=asr, tts=tts, qa=qa, states=states, duplex=duplex, latency=latency)
"""In the order of RESULTS.md; the codec's copies are scored by tts."""

DECODERS: dict[str, Decoder] = dict(asr=asr, qa=qa, states=states, codec=codec, tts=tts, latency=latency, duplex=duplex)
"""In the order of stage 11."""


def score_root(root: Path, config: DecodeConfig, judge: Path | None, device: str = "cpu") -> dict[str, Any]:
    """Figures of all decoded subjects (of speech only with a judge): WER in percent, shares as fractions, seconds.

    device: of the judge.
    """
    found: dict[str, Any] = tts.score(root, config, judge, device)
    for name, subject in SUBJECTS.items():
        if name == "asr" or name != "tts" and (root / name / "decode.json").exists():
            found |= subject.score(root, config, judge)
    return {name: figures for name, figures in found.items() if figures}
