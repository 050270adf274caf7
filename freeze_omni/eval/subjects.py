"""The subjects of evaluation. Each module holds its settings, decoding, scores and rows of tables:

decode(job)                   stage 11: one test set, into one folder; returns the records
score(root, config, judge)    stage 12: figures of a decoding root by name; {} if its folder is missing
headline(figures, sets)       its figures among the KEYS of results.py
SECTIONS                      its sections of RESULTS.md
evaluate(args, config)        `freeze-omni eval`: a report on a model or on the outputs of another system
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from freeze_omni.eval import asr, codec, latency, qa, states, tts
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.duplex import subject as duplex

DECODERS: dict[str, ModuleType] = {
    "asr": asr,
    "qa": qa,
    "states": states,
    "codec": codec,
    "tts": tts,
    "latency": latency,
    "duplex": duplex,
}
"""In the order of stage 11."""

SCORED: tuple[ModuleType, ...] = (asr, tts, qa, states, duplex, latency)
"""In the order of RESULTS.md; the codec's copies are scored by tts."""


def score_root(root: Path, config: DecodeConfig, judge: Path | None) -> dict[str, Any]:
    """All figures of one model. WER is in percent, shares and accuracies are fractions, times are seconds.

    Subjects that were not decoded are left out. Without a judge, speech is not scored.
    """
    found: dict[str, Any] = {}
    for subject in SCORED:
        found |= subject.score(root, config, judge)
    return {name: figures for name, figures in found.items() if figures}
