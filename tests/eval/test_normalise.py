"""What counts as the same."""

import pytest

from freeze_omni.eval.wer import characters, english, normaliser, plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's twenty-one.", "it is 21"),
        ("Nineteen sixty-nine", "1969"),
        ("You can\u2019t!", "you can't"),
        ("two thousand and three", "2,003".replace(",", "")),
        ("FIVE O'CLOCK", "five o\u2019clock"),
        ("seven billion", "7 billion"),
        ("Hello,   world", "hello world"),
        ("five dollars", "$5"),
    ],
)
def test_english_calls_these_the_same(one, other):
    assert english(one) == english(other)


@pytest.mark.parametrize(("one", "other"), [("twenty", "21"), ("cat", "cats"), ("", "a b")])
def test_english_tells_these_apart(one, other):
    assert english(one) != english(other)


def test_plain_keeps_apostrophes_inside_words_and_numbers_as_written():
    assert plain("Don't say 'five', say 5!") == "don't say five say 5"


def test_characters_are_words():
    assert characters("Ab c.") == "a b c"


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="unknown normaliser 'welsh'; there are english"):
        normaliser("welsh")
