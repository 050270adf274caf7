"""Common words by frequency, and the cleaned sentences of chatterbot-corpus."""

import random
from collections import Counter

import pytest
from mini_everyday import clean, everyday_sentences, read_words, word_sentences

from freeze_omni.data.tables import TableError

WORDS = (
    "the\t0.05\ni\t0.01\nlondon\t0.001\ndon't\t0.001\ni'm\t0.001\ndont\t0.00001\nwell\t0.001\nwe'll\t0.001\nmr\t0.001\n"
)


def test_words_are_spelt_as_people_write_them(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text(WORDS + "rare\t1e-7\n3d\t0.1\n")
    words = read_words(path, 100, ["London", "New York"])
    assert list(words) == ["the", "I", "London", "don't", "I'm", "well", "we'll", "rare"]
    assert words["the"] == pytest.approx(0.05**0.35)
    assert list(read_words(path, 2, [])) == ["the", "I"]
    path.write_text("the\n")
    with pytest.raises(TableError, match=r"words.tsv:1: expected `word<tab>frequency`"):
        read_words(path, 2, [])
    path.write_text("")
    with pytest.raises(TableError, match="get_wordfreq.sh"):
        read_words(path, 2, [])


def test_frequent_words_come_more_often():
    said = word_sentences({"the": 3.0, "I": 1.0, "lamp": 1.0}, 600, random.Random(0))
    assert {len(text.split()) for text in said} == set(range(2, 10))
    assert all(text[0].isupper() and text[-1] in ".?" for text in said)
    counts = Counter(word.strip(".?").lower() for text in said for word in text.split())
    assert counts["the"] / counts["lamp"] == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize(
    ("turn", "sentences"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("what is  context", ["What is context?"]),
        ("yes, i think i'm fine..", ["Yes, I think I'm fine."]),
        ("DO YOU KNOW CRICKET", ["Do you know cricket?"]),
        ("It has 12 moons", ["It has twelve moons."]),
        ("Hello", []),
        ("see http://example.org now", []),
        ("a *b* c d", []),
        (" ".join(["word"] * 15), []),
    ],
)
def test_turns_are_cleaned(turn, sentences):
    assert clean(turn) == sentences


def test_a_corpus_is_read_without_its_files_of_commands(tmp_path):
    (tmp_path / "english").mkdir()
    turns = "conversations:\n- - What is AI?\n  - A kind of science.\n- - What is AI?\n  - 42\n"
    (tmp_path / "english/ai.yml").write_text(turns)
    (tmp_path / "english/coding.yml").write_text("conversations:\n- - Use a loop here.\n")
    assert everyday_sentences(tmp_path) == ["What is AI?", "A kind of science."]
