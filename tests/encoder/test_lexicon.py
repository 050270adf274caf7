"""The lexicon's tables, and the files that they are made from."""

from __future__ import annotations

import math

import pytest
import torch

from freeze_omni.data.tables import TableError
from freeze_omni.encoder import lexicon
from freeze_omni.encoder.lexicon import BACKOFF, LOWEST, TEXTS, Lexicon, WordCounts

COUNTS = WordCounts({"a": 0.5, "an": 0.2, "no": 0.1, "naïve": 0.1}, {("no", "an"): 0.25, ("no", "naïve"): 0.3})


def walk(lexicon: Lexicon, word: str) -> int:
    node = 0
    for letter in word:
        node = int(lexicon.followers[node, "ano".index(letter)])
    return node


def test_words_are_found_by_their_letters():
    lexicon = Lexicon(COUNTS, "ano")
    assert lexicon.words == ["a", "an", "no"], "no label writes the others"
    for number, word in enumerate(lexicon.words):
        assert lexicon.word[walk(lexicon, word)] == number
    assert lexicon.word[walk(lexicon, "n")] == -1 and walk(lexicon, "na") == 0
    assert lexicon.best[walk(lexicon, "n")].item() == pytest.approx(math.log(0.1))
    assert lexicon.best[0].item() == pytest.approx(math.log(0.5))


def test_probabilities_after_a_word():
    lexicon = Lexicon(COUNTS, "ano")
    first, second = torch.tensor([2, 2, -1]), torch.tensor([1, 0, 1])
    expected = [math.log(0.25), math.log(0.5) + BACKOFF, math.log(0.2)]
    assert lexicon.after(first, second).tolist() == pytest.approx(expected)
    alone = Lexicon(WordCounts({"a": 0.0}), "a")
    assert alone.after(torch.tensor([0]), torch.tensor([0])).tolist() == [LOWEST]


def test_it_needs_a_word():
    with pytest.raises(ValueError, match="no word of the lexicon"):
        Lexicon(COUNTS, "xyz")


def test_counts_are_kept_in_files(tmp_path):
    COUNTS.save(tmp_path)
    assert WordCounts.load(tmp_path) == COUNTS
    (tmp_path / "pairs.tsv").unlink()
    assert WordCounts.load(tmp_path) == WordCounts(COUNTS.words)


@pytest.mark.parametrize("line", ["a", "a b\t0.1\t0.2", "a\tb", "a\t1.5", "\t0.1"])
def test_a_broken_line_is_named(line, tmp_path):
    (tmp_path / "words.tsv").write_text(f"a\t0.1\n{line}\n")
    with pytest.raises(TableError, match=r"words.tsv, line 2: expected 1 word\(s\) and a probability"):
        WordCounts.load(tmp_path)


def test_of_many_pairs_the_frequent_ones_are_kept(monkeypatch):
    monkeypatch.setattr(lexicon, "MOST_PAIRS", 40)
    texts = [["a", f"b{number}"] for number in range(400)]
    texts = [text for number, text in enumerate(texts) for text in (text, *([["x", "y"]] if number % 10 else []))]
    counts = WordCounts({"a": 0.5}).with_texts(texts)
    assert ("x", "y") in counts.pairs and len(counts.pairs) <= 41 and len(counts.words) == 403


def test_texts_add_words_and_mix_their_pairs_in():
    counts = WordCounts({"a": 0.5, "b": 0.1}, {("a", "b"): 0.2}).with_texts([["a", "b", "c"], ["a", "b"], ["a", "a"]])
    assert counts.words == {"a": 0.5, "b": 0.1, "c": 0.1}, "a new word is as rare as the rarest"
    share = TEXTS * 3 / (3 + 2)  # "a" is followed three times, by two words
    assert counts.pairs["a", "b"] == pytest.approx((1 - share) * 0.2 + share * 2 / 3)
    assert counts.pairs["a", "a"] == pytest.approx((1 - share) * math.exp(BACKOFF) * 0.5 + share / 3)
    assert set(counts.pairs) == {("a", "b"), ("a", "a"), ("b", "c")}
