"""Everyday questions from patterns over lists of words: open/questions.yaml.

    lists: {animal: [spider, mouse/mice]}
    patterns: ["How many legs does {animal:a} have?", "Why do {animal:s} sleep?"]

`{list}` is a word of the list, `{list:a}` with its article, `{list:s}` in the plural (written after a slash where it is
irregular). A list that comes twice in a pattern gives two different words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, build, read_yaml

_SLOT = re.compile(r"\{(\w+)(?::([as]))?\}")
_TRIES = 8  # at new fillings of a pattern before it counts as used up
# Written with a vowel and said without, and the other way round.
_LIKE_A_CONSONANT = re.compile(r"(?:uni|use|euro|one\b|u-)", re.IGNORECASE)
_LIKE_A_VOWEL = re.compile(r"(?:[aeiou]|hour|honest|heir)", re.IGNORECASE)


@dataclass(frozen=True)
class Grammar:
    """Patterns, and the lists that fill their slots."""

    lists: dict[str, tuple[str, ...]]
    patterns: tuple[str, ...]


def read_grammar(path: str | Path) -> Grammar:
    """Raises ConfigError that names the file and the pattern whose slot is no list, or not a slot as above."""
    grammar = build(Grammar, read_yaml(path), str(path))
    for pattern in grammar.patterns:
        for name in {name for name, _ in _SLOT.findall(pattern)} - set(grammar.lists):
            raise ConfigError(f"{path}: '{pattern}' asks for '{name}', which is not one of the lists")
        if set("{}") & set(_SLOT.sub("", pattern)):
            raise ConfigError(f"{path}: '{pattern}': write a slot as {{list}}, {{list:a}} or {{list:s}}")
    return grammar


def ask(grammar: Grammar, patterns: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Up to `count` different questions, the patterns in turn; fewer where they are used up."""
    found: dict[str, None] = {}
    waiting = list(patterns)
    while waiting and len(found) < count:
        rng.shuffle(waiting)
        for pattern in list(waiting):
            new = (fill(grammar, pattern, rng) for _ in range(_TRIES))
            text = next((text for text in new if text not in found), None)
            if text is None:
                waiting.remove(pattern)
            else:
                found[text] = None
    return list(found)[:count]


def fill(grammar: Grammar, pattern: str, rng: random.Random) -> str:
    """One question of the pattern; it begins with a capital."""
    names = [name for name, _ in _SLOT.findall(pattern)]
    drawn = {name: rng.sample(grammar.lists[name], names.count(name)) for name in dict.fromkeys(names)}
    text = _SLOT.sub(lambda slot: _form(drawn[slot[1]].pop(), slot[2]), pattern)
    return text[:1].upper() + text[1:]


def _form(entry: str, form: str | None) -> str:
    word, _, plural = entry.partition("/")
    if form == "s":
        return plural or _plural(word)
    return f"{_article(word)} {word}" if form == "a" else word


def _plural(word: str) -> str:
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"


def _article(word: str) -> str:
    return "an" if _LIKE_A_VOWEL.match(word) and not _LIKE_A_CONSONANT.match(word) else "a"
