"""The word search under the law: what is said, and the chunk in which it is."""

from __future__ import annotations

import torch
from torch import Tensor

from freeze_omni.encoder.lexicon import Lexicon, WordCounts
from freeze_omni.encoder.search import Said, SearchConfig, WordSearch
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows

UNITS = 5  # blank, space and three letters


def toy_search() -> WordSearch:
    """Six words, of few letters, so that noise says some."""
    words = dict.fromkeys(("a", "ab", "b", "ca", "cab", "c"), 0.1)
    counts = WordCounts(words, {("a", "b"): 0.5, ("ca", "b"): 0.2})
    return WordSearch(SearchConfig(width=4, most=5, margin=2.0), Lexicon(counts, "abc"), [2, 3, 4], space=1)


def _part() -> Part:
    search = toy_search()

    def step(x: Tensor, state: State) -> tuple[Rows, State]:
        said, state = search.step(x, state)
        return by_chunks(said), state

    def forward(x: Tensor, lengths: Tensor) -> Rows:
        chunks = by_chunks(search(x, lengths))
        assert not any(row[-(-size // 4) :].any() for row, size in zip(chunks, lengths.tolist(), strict=True))
        return [row[: -(-size // 4)] for row, size in zip(chunks, lengths.tolist(), strict=True)]

    return Part(
        chunk=4,
        make_input=lambda batch, size: 3 * torch.randn(batch, size, UNITS),
        forward=forward,
        initial_state=search.initial_state,
        step=step,
    )


def by_chunks(said: Said) -> Rows:
    """Of each row the number of words and the sum of words in each chunk."""
    rows = []
    for words, ends in zip(said.words, said.ends, strict=True):
        begins = [0, *ends.tolist()[:-1]]
        pairs = [(end - begin, int(words[begin:end].sum())) for begin, end in zip(begins, ends.tolist(), strict=True)]
        rows.append(torch.tensor(pairs, dtype=torch.float32).reshape(-1, 2))
    return rows


PARTS = {"word_search": _part}
