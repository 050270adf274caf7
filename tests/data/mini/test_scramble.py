"""Scrambled sentences: the words of the corpus, evenly, in any order."""

import random
from collections import Counter

import pytest
from mini_scramble import scramble, vocabulary

SENTENCES = ["What is the capital of France?", "Paris is the capital of France.", "The sea, is it deep?", "What's it?"]


def test_words_are_as_inside_a_sentence():
    assert vocabulary(SENTENCES) == sorted(
        ["what", "is", "the", "capital", "of", "France", "paris", "sea", "it", "deep", "what's"]
    )
    assert "Paris" in vocabulary([*SENTENCES, "I like Paris."])


def test_every_word_comes_about_equally_often_in_new_orders():
    words = vocabulary(SENTENCES)
    made = scramble(words, 200, random.Random(0))
    assert len(set(made)) > 190
    assert all(text[0].isupper() and text[-1] in ".?" and 3 <= len(text.split()) <= 9 for text in made)
    counts = Counter(word.strip(".?").lower() for text in made for word in text.split())
    assert set(counts) == {word.lower() for word in words}
    assert max(counts.values()) - min(counts.values()) <= 2


def test_no_words_is_an_error():
    with pytest.raises(ValueError, match="no words"):
        scramble([], 1, random.Random(0))
