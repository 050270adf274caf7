"""Stage 2.2 on runs of words: what a session speaks are segments of an answer, and a cut sentence is a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Preprocess = Callable[[str, dict[str, Any]], dict[str, Any]]
FEWEST_WORDS = 2


class CutText:
    """Behind another preprocess: leaves in a share of the utterances a random run of their words, with their tokens.

    Args:
        share: of the utterances that are cut.
        is_space: whether an LLM id is a row between two words.
    """

    def __init__(self, before: Preprocess, share: float, is_space: Callable[[int], bool]):
        self.before, self.share, self.is_space = before, share, is_space

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Draws follow numpy's global seed, which ESPnet sets. Utterances without `row_tokens` stay whole."""
        entries = self.before(uid, data)
        if "row_tokens" not in entries or np.random.random() >= self.share:
            return entries
        words = word_rows([self.is_space(int(row)) for row in entries["text"]])
        if len(words) <= FEWEST_WORDS or len(entries["row_tokens"]) != len(entries["text"]):
            return entries
        count = np.random.randint(FEWEST_WORDS, len(words))
        first = np.random.randint(0, len(words) - count + 1)
        return cut(entries, words[first][0], words[first + count - 1][1])


def word_rows(spaces: list[bool]) -> list[tuple[int, int]]:
    """First row and row behind the last of each word, in a text whose rows are a space or not."""
    found, begin = [], None
    for row, space in enumerate([*spaces, True]):
        if space and begin is not None:
            found.append((begin, row))
            begin = None
        elif not space and begin is None:
            begin = row
    return found


def cut(entries: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    """The entries with the rows from `begin` up to `end` of the text alone, and the tokens that say them."""
    ends = np.cumsum(entries["row_tokens"])
    start = ends[begin - 1] if begin else 0
    rows = {name: entries[name][begin:end] for name in ("text", "row_tokens")}
    return entries | rows | {"tokens": entries["tokens"][start : ends[end - 1]]}
