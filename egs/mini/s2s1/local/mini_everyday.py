"""Everyday English: common words by frequency, and the sentences of chatterbot-corpus."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import yaml

from freeze_omni.data.tables import TableError, read_lines
from freeze_omni.speech_decoder.normalise import spoken_english

_WORD = re.compile(r"(?=.*[aeiouy])(?:[a-z]{2,}|[a-z]+'[a-z]+)|[ai]")  # without a vowel it is an abbreviation
_ABBREVIATIONS = set("etc inc ltd ave eu uk usa ii iii iv vi vii viii ie eg aka".split())
_FLATTEN = 0.35  # power of the frequency: at 1 a sentence is all `the` and `of`, at 0 all rare words
_LEAST, _MOST = 2, 9
_MISSPELT = 0.1  # as frequent as this beside its form with an apostrophe, a word is a misspelling: dont, youre

_PLAIN = re.compile(r"[A-Za-z' ,.?!-]+")
_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_LONGEST = 14
_ASKS = re.compile(r"(?:what|who|where|when|why|how|which|whose|is|are|do|does|did|can|could|will|would|have)\b", re.I)
_NOT_SPOKEN = ("coding", "tech_support")  # files of chatterbot-corpus: commands and names of programs


def read_words(path: Path, count: int, names: Iterable[str]) -> dict[str, float]:
    """The `count` most frequent words of words.tsv with their weights; `names` are written with their capital.

    Raises TableError that names the line.
    """
    capital = {name.lower(): name for name in names}
    frequencies: dict[str, float] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word, _, frequency = line.partition("\t")
        try:
            frequencies[word] = float(frequency)
        except ValueError:
            raise TableError(f"{path}:{number}: expected `word<tab>frequency`") from None
    whole = {word.replace("'", ""): frequency for word, frequency in frequencies.items() if "'" in word}
    usual = (
        (word, frequency)
        for word, frequency in frequencies.items()
        if _WORD.fullmatch(word) and word not in _ABBREVIATIONS and frequency > _MISSPELT * whole.get(word, 0)
    )
    found = {
        capital.get(word) or re.sub(r"^i\b", "I", word): frequency**_FLATTEN for word, frequency in islice(usual, count)
    }
    if not found:
        raise TableError(f"{path}: no words; run tools/installers/get_wordfreq.sh")
    return found


def word_sentences(words: dict[str, float], count: int, rng: random.Random) -> list[str]:
    """`count` sentences of 2 to 9 words in any order, frequent words more often; with a capital and a stop."""
    listed, weights = list(words), list(words.values())
    drawn = (" ".join(rng.choices(listed, weights, k=rng.randint(_LEAST, _MOST))) for _ in range(count))
    return [said[:1].upper() + said[1:] + rng.choice(".?") for said in drawn]


def everyday_sentences(folder: Path) -> list[str]:
    """The sentences of english/*.yml of chatterbot-corpus that can be spoken, cleaned, each once."""
    found: dict[str, None] = {}
    for path in sorted((folder / "english").glob("*.yml")):
        if path.stem not in _NOT_SPOKEN:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            turns = (turn for conversation in content["conversations"] for turn in conversation)
            found |= dict.fromkeys(text for turn in turns for text in clean(str(turn)))
    return list(found)


def clean(turn: str) -> list[str]:
    """The plain sentences of a turn, 2 to 14 words each: capitals and stops mended, numbers in words."""
    found = []
    for sentence in _SENTENCE.split(spoken_english(" ".join(turn.split()))):
        text = re.sub(r"\.{2,}$", ".", sentence.strip(" '\"").replace(" ,", ","))
        text = text.lower() if text.isupper() else text
        text = re.sub(r"\bi\b", "I", text[:1].upper() + text[1:])
        if _PLAIN.fullmatch(text) and 2 <= len(text.split()) <= _LONGEST:
            found.append(text if text[-1] in ".?!" else text + ("?" if _ASKS.match(text) else "."))
    return found
