"""Words that speech is made of: their letters as a trie, and how likely they are after one another.

A CTC head that was trained on little speech spells nearly as people do. Which word was meant is told by a lexicon and
the frequencies of words and of pairs of words, as in any hybrid recogniser.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.data.tables import TableError, read_lines, write_lines

WORDS_FILE, PAIRS_FILE = "words.tsv", "pairs.tsv"
BACKOFF = math.log(0.4)
"""Of a pair that was not counted ("stupid backoff", Brants et al. 2007)."""
TEXTS = 0.5
"""The most that the pairs of training texts count next to those of the lexicon."""
MOST_PAIRS = 2_000_000
"""Pairs of words that are counted at once, about 400 MB."""
LOWEST = -20.0
"""Log probability of a word without a count."""


@dataclass(frozen=True)
class WordCounts:
    """words: each with its probability. pairs: (first, second) with the probability of the second after the first."""

    words: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> WordCounts:
        """words.tsv, lines `word<tab>probability`, and, if there, pairs.tsv, lines `word<tab>word<tab>probability`.
        Raises TableError, which names file and line."""
        folder = Path(folder)
        words = {key[0]: value for key, value in _read(folder / WORDS_FILE, 1)}
        pairs = _read(folder / PAIRS_FILE, 2) if (folder / PAIRS_FILE).exists() else []
        return cls(words, {(key[0], key[1]): value for key, value in pairs})

    def with_texts(self, texts: Iterable[Sequence[str]]) -> WordCounts:
        """With what else these texts, lists of words, say: new words, each as rare as the rarest; and their pairs,
        mixed with the pairs here, the more so the more often the first word is said (as Witten and Bell 1991).

        Of very many texts, the rarest pairs are forgotten from time to time: memory has a bound (MOST_PAIRS).
        """
        seen, counts = set[str](), Counter[tuple[str, str]]()
        for text in texts:
            words_of_text = [sys.intern(word) for word in text]  # one object a word, however many pairs have it
            seen.update(words_of_text)
            counts.update(pairwise(words_of_text))
            if len(counts) > MOST_PAIRS:
                counts = _frequent(counts, MOST_PAIRS // 2)
        words = {**self.words, **dict.fromkeys(sorted(seen - set(self.words)), min(self.words.values()))}
        said, followers = Counter[str](), Counter[str]()
        for (first, _), count in counts.items():
            said[first] += count
            followers[first] += 1
        pairs = dict(self.pairs)
        for (first, second), count in counts.items():
            share = TEXTS * said[first] / (said[first] + followers[first])
            before = pairs.get((first, second), math.exp(BACKOFF) * words[second])
            pairs[first, second] = (1 - share) * before + share * count / said[first]
        return WordCounts(words, pairs)

    def save(self, folder: str | Path) -> None:
        words = (f"{word}\t{value:.4g}" for word, value in self.words.items())
        pairs = (f"{first}\t{second}\t{value:.4g}" for (first, second), value in self.pairs.items())
        write_lines(Path(folder) / WORDS_FILE, words)
        write_lines(Path(folder) / PAIRS_FILE, pairs)


def _frequent(counts: Counter[tuple[str, str]], most: int) -> Counter[tuple[str, str]]:
    """At most so many pairs: without those of the lowest counts."""
    least = 1
    while len(counts) > most:
        least += 1
        counts = Counter({pair: count for pair, count in counts.items() if count >= least})
    return counts


def _read(path: Path, keys: int) -> list[tuple[list[str], float]]:
    found = []
    for number, line in enumerate(read_lines(path), 1):
        *words, value = line.split("\t")
        try:
            probability = float(value)
        except ValueError:
            probability = -1.0
        if len(words) != keys or not 0 <= probability <= 1 or not all(words):
            raise TableError(f"{path}, line {number}: expected {keys} word(s) and a probability, with tabs between")
        found.append((words, probability))
    return found


class Lexicon(nn.Module):
    """Tables that go with the model to its device, and are made again where it is loaded.

    followers (nodes, letters) the next node, 0 for none (the root follows nobody); word (nodes,) that ends there, -1
    for none; best (nodes,) the log probability of the likeliest word there or below; log_p (words,); pair_keys (P,)
    sorted, first * words + second; pair_log_p (P,).
    """

    followers: Tensor
    word: Tensor
    best: Tensor
    log_p: Tensor
    pair_keys: Tensor
    pair_log_p: Tensor

    def __init__(self, counts: WordCounts, letters: Sequence[str]) -> None:
        """letters: one character each, in the order of their labels. Words with others are left out. Raises ValueError
        if none is left."""
        super().__init__()
        place = {letter: at for at, letter in enumerate(letters)}
        self.words = [word for word in counts.words if word and all(one in place for one in word)]
        if not self.words:
            raise ValueError("no word of the lexicon can be spelled with the letters of the CTC units")
        log_p = [_log(counts.words[word]) for word in self.words]
        spelled = [[place[letter] for letter in word] for word in self.words]
        for name, table in {**_trie(spelled, log_p, len(letters)), **self._pairs(counts.pairs)}.items():
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("log_p", torch.tensor(log_p), persistent=False)

    def _pairs(self, pairs: Mapping[tuple[str, str], float]) -> dict[str, Tensor]:
        number = {word: at for at, word in enumerate(self.words)}
        known = {
            number[first] * len(number) + number[second]: _log(value)
            for (first, second), value in pairs.items()
            if first in number and second in number
        }
        keys = np.array(sorted(known), dtype=np.int64)
        values = torch.tensor([known[key] for key in keys.tolist()], dtype=torch.float32)
        return {"pair_keys": torch.from_numpy(keys), "pair_log_p": values}

    def after(self, first: Tensor, second: Tensor) -> Tensor:
        """Log probability of the words `second` after `first` (-1: at the start), both (...) numbers of words."""
        alone = self.log_p[second]
        if not len(self.pair_keys):
            return alone
        keys = first * len(self.words) + second
        at = torch.searchsorted(self.pair_keys, keys).clamp_max(len(self.pair_keys) - 1)
        known = (self.pair_keys[at] == keys) & (first >= 0)
        return torch.where(known, self.pair_log_p[at], torch.where(first >= 0, alone + BACKOFF, alone))


def _trie(spelled: Sequence[Sequence[int]], log_p: Sequence[float], letters: int) -> dict[str, Tensor]:
    followers, ends, best = [[0] * letters], [-1], [LOWEST]
    for at, word in enumerate(spelled):
        node = 0
        best[0] = max(best[0], log_p[at])
        for letter in word:
            if not followers[node][letter]:
                followers[node][letter] = len(followers)
                followers.append([0] * letters)
                ends.append(-1)
                best.append(LOWEST)
            node = followers[node][letter]
            best[node] = max(best[node], log_p[at])
        ends[node] = at
    tables = torch.tensor(followers, dtype=torch.int32), torch.tensor(ends, dtype=torch.int32), torch.tensor(best)
    return dict(zip(("followers", "word", "best"), tables, strict=True))


def _log(probability: float) -> float:
    return max(math.log(probability), LOWEST) if probability > 0 else LOWEST
