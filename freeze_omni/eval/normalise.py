"""Named normalisers: differences between two texts that are no errors.

`english` is the normaliser that the Whisper authors published (the transformers library has it): lower case, no
punctuation, numbers and money as digits, contractions written out, fillers dropped. `plain` only lowers the case and
drops punctuation; `characters` puts a space between all characters, so that a word error rate becomes a CER.
`chinese` makes a word of every Chinese character and keeps words in other letters whole, after full-width forms became
plain: the CER of Mandarin test sets with some English in them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

_CLOCK = re.compile(r"\bo\s*['’]\s*clock\b", re.IGNORECASE)
_SIGN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'"})


@lru_cache(maxsize=1)
def _whisper_english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


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


def untouched(text: str) -> str:
    """The text with single spaces."""
    return " ".join(text.split())


NORMALISERS: dict[str, Callable[[str], str]] = {
    "english": english,
    "plain": plain,
    "characters": characters,
    "chinese": chinese,
    "none": untouched,
}


def normaliser(name: str) -> Callable[[str], str]:
    """The normaliser of that name. Raises ValueError for unknown names."""
    if name not in NORMALISERS:
        raise ValueError(f"unknown normaliser '{name}'; there are {', '.join(NORMALISERS)}")
    return NORMALISERS[name]
