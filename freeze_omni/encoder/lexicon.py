"""Words that speech is made of: their letters as a trie, and how likely they are after one another.

A CTC head that was trained on little speech spells nearly as people do; which word was meant, a lexicon and the
frequencies of words and pairs of words tell, as in any hybrid recogniser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

BACKOFF = math.log(0.4)
"""Of a pair that was not counted ("stupid backoff", Brants et al. 2007)."""
LOWEST = -20.0
"""Log probability of a word without a count."""


@dataclass(frozen=True)
class Counts:
    """words: each with its probability. pairs: (first, second) -> probability of the second after the first."""

    words: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]


class Lexicon(nn.Module):
    """The tables, as buffers: they go with the model, to its device and into its folder.

    followers (nodes, letters) the next node, 0 for none (the root is nobody's child); word (nodes,) that ends there, -1
    for none; best (nodes,) the log probability of the likeliest word at or below; log_p (words,); pair_keys (P,) sorted,
    first * words + second, pair_log_p (P,).
    """

    followers: Tensor
    word: Tensor
    best: Tensor
    log_p: Tensor
    pair_keys: Tensor
    pair_log_p: Tensor

    def __init__(self, words: Sequence[str], letters: Sequence[str], counts: Counts) -> None:
        """letters: of one character each, in the order of their labels. Words with other characters are left out; two
        words never have the same letters. Raises ValueError if none is left."""
        super().__init__()
        place = {letter: at for at, letter in enumerate(letters)}
        self.words = [word for word in dict.fromkeys(words) if word and all(one in place for one in word)]
        if not self.words:
            raise ValueError("no word of the lexicon can be spelled with the letters of the CTC units")
        number = {word: at for at, word in enumerate(self.words)}
        log_p = [_log(counts.words.get(word, 0.0)) for word in self.words]
        children, ends, best = [[0] * len(letters)], [-1], [LOWEST]
        for at, word in enumerate(self.words):
            node = 0
            best[0] = max(best[0], log_p[at])
            for letter in word:
                follower = children[node][place[letter]]
                if not follower:
                    follower = children[node][place[letter]] = len(children)
                    children.append([0] * len(letters))
                    ends.append(-1)
                    best.append(LOWEST)
                node = follower
                best[node] = max(best[node], log_p[at])
            ends[node] = at
        pairs = {number[a] * len(number) + number[b]: _log(p) for (a, b), p in counts.pairs.items() if a in number and b in number}
        keys = np.array(sorted(pairs), dtype=np.int64)
        tables = {
            "followers": torch.tensor(children, dtype=torch.int32),
            "word": torch.tensor(ends, dtype=torch.int32),
            "best": torch.tensor(best),
            "log_p": torch.tensor(log_p),
            "pair_keys": torch.from_numpy(keys),
            "pair_log_p": torch.tensor([pairs[key] for key in keys.tolist()], dtype=torch.float32),
        }
        for name, table in tables.items():
            self.register_buffer(name, table)

    def after(self, first: Tensor, second: Tensor) -> Tensor:
        """Log probability of `second` after `first` (-1: at the start), both (...) word numbers."""
        alone = self.log_p[second]
        if not len(self.pair_keys):
            return alone
        keys = first * len(self.words) + second
        at = torch.searchsorted(self.pair_keys, keys.clamp_min(0)).clamp_max(len(self.pair_keys) - 1)
        known = (self.pair_keys[at] == keys) & (first >= 0)
        return torch.where(known, self.pair_log_p[at], torch.where(first >= 0, alone + BACKOFF, alone))


def _log(probability: float) -> float:
    return max(math.log(probability), LOWEST) if probability > 0 else LOWEST
