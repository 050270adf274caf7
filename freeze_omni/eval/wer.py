"""Word and character error rates of a set of utterances, by jiwer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.eval.normalise import normaliser


@dataclass(frozen=True)
class ErrorRate:
    """Errors of a set in percent of the reference words, with a 95 % interval over utterances."""

    percent: float
    low: float
    high: float
    words: int
    substitutions: int
    deletions: int
    insertions: int
    utterances: int
    sentence_percent: float

    def as_dict(self) -> dict[str, Any]:
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def error_rate(references: Mapping[str, str], hypotheses: Mapping[str, str], normalise: str = "english") -> ErrorRate:
    """WER of `hypotheses` against `references` (utterance id to text).

    A hypothesis that is missing counts as empty (all its words deleted); one without a reference is an error.
    Raises ValueError for an empty reference set or a hypothesis of an unknown utterance.
    """
    if not references:
        raise ValueError("no references: the set to score is empty")
    strangers = sorted(set(hypotheses) - set(references))
    if strangers:
        raise ValueError(f"hypothesis '{strangers[0]}' has no reference ({len(strangers)} such)")
    clean = normaliser(normalise)
    counts = [_counts(clean(text), clean(hypotheses.get(key, ""))) for key, text in references.items()]
    substitutions, deletions, insertions, words = (sum(column) for column in zip(*counts, strict=True))
    errors = [s + d + i for s, d, i, _ in counts]
    low, high = ratio_interval(errors, [n for *_, n in counts])
    return ErrorRate(
        percent=100 * sum(errors) / max(words, 1),
        low=100 * low,
        high=100 * high,
        words=words,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        utterances=len(counts),
        sentence_percent=100 * sum(e > 0 for e in errors) / len(errors),
    )


def _counts(reference: str, hypothesis: str) -> tuple[int, int, int, int]:
    """Substitutions, deletions, insertions and reference words of one utterance."""
    if not reference:  # jiwer refuses an empty reference
        return 0, 0, len(hypothesis.split()), 0
    import jiwer

    out = jiwer.process_words(reference, hypothesis)
    return out.substitutions, out.deletions, out.insertions, len(reference.split())
