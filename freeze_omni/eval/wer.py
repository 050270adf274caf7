"""Word and character error rates of a set of utterances by jiwer, after a named normaliser.

A normaliser removes differences between two texts that are no errors. `english` is the one that the Whisper authors
published: numbers and money as digits, contractions written out, fillers dropped, American spelling. With `characters`
a word error rate becomes a CER, with `chinese` that of Mandarin test sets with some English in them; `mandarin` is the
same after numbers were written in characters.
"""

import importlib.resources
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.speech_decoder.normalise import text_styler

_CLOCK = re.compile(r"\bo\s*['’]\s*clock\b", re.IGNORECASE)
_SIGN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'"})


@lru_cache(maxsize=1)
def _whisper_english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer(_american_spelling())


def _american_spelling() -> dict[str, str]:
    """British word -> American word: the map of the Whisper authors, which transformers does not bring along."""
    try:
        folder = importlib.resources.files("whisper_normalizer")
    except ModuleNotFoundError:
        fix = "pip install 'freeze-omni[eval]'"
        raise ImportError(f"the normaliser `english` needs whisper-normalizer: {fix}") from None
    return json.loads((folder / "normalizers/english.json").read_text(encoding="utf-8"))


def english(text: str) -> str:
    """Lower case, digits for number words, contractions written out, no punctuation."""
    text = _CLOCK.sub("oclock", text.translate(_APOSTROPHES))  # else "five o'clock" becomes "50 clock"
    return " ".join(_whisper_english()(text).split())


def plain(text: str) -> str:
    """Lower case without punctuation; an apostrophe inside a word stays."""
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    kept = "".join(c if c.isalnum() or c == "'" else " " for c in text)
    return " ".join(word.strip("'") for word in kept.split() if word.strip("'"))


def characters(text: str) -> str:
    """Every character of the plain text as a word."""
    return " ".join(plain(text).replace(" ", ""))


def chinese(text: str) -> str:
    """Every Chinese character as a word, other words whole, in lower case without punctuation."""
    return " ".join(_SIGN.sub(r" \g<0> ", plain(text)).split())


def mandarin(text: str) -> str:
    """As `chinese`, of the text as it is spoken: 3 is 三. Raises ImportError without the extra `chinese`."""
    return chinese(text_styler("chinese")(text))


NORMALISERS: dict[str, Callable[[str], str]] = {
    "english": english,
    "plain": plain,
    "characters": characters,
    "chinese": chinese,
    "mandarin": mandarin,
    "none": lambda text: " ".join(text.split()),
}


def normaliser(name: str) -> Callable[[str], str]:
    """The normaliser of that name. Raises ValueError for unknown names."""
    if name not in NORMALISERS:
        raise ValueError(f"unknown normaliser '{name}'; there are {', '.join(NORMALISERS)}")
    return NORMALISERS[name]


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
    """WER of `hypotheses` against `references` (utterance id to text). A missing hypothesis counts as empty.

    Raises ValueError for an empty reference set or a hypothesis of an unknown utterance.
    """
    if not references:
        raise ValueError("no references: the set to score is empty")
    if strangers := sorted(set(hypotheses) - set(references)):
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


def utterance_errors(references: Mapping[str, str], hypotheses: Mapping[str, str], normalise: str) -> dict[str, int]:
    """Wrong words of each utterance, as `error_rate` counts them."""
    clean = normaliser(normalise)
    counts = {key: _counts(clean(text), clean(hypotheses.get(key, ""))) for key, text in references.items()}
    return {key: sum(one[:3]) for key, one in counts.items()}


def _counts(reference: str, hypothesis: str) -> tuple[int, int, int, int]:
    """Substitutions, deletions, insertions and reference words of one utterance."""
    if not reference:  # jiwer refuses an empty reference
        return 0, 0, len(hypothesis.split()), 0
    import jiwer

    out = jiwer.process_words(reference, hypothesis)
    return out.substitutions, out.deletions, out.insertions, len(reference.split())
