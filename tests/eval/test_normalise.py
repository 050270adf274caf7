"""What counts as the same."""

import pytest
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from freeze_omni.eval.wer import characters, chinese, english, error_rate, mandarin, normaliser, plain


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
        ("The colour of the theatre", "the color of the theater"),
    ],
)
def test_english_calls_these_the_same(one, other):
    assert english(one) == english(other)


@pytest.mark.parametrize(("one", "other"), [("twenty", "21"), ("cat", "cats"), ("", "a b")])
def test_english_tells_these_apart(one, other):
    assert english(one) != english(other)


@pytest.mark.parametrize("text", ["It's twenty-one, isn't it?", "Mr. Lee paid $3.50 'cause he had to.", "uh, five!"])
def test_english_without_british_words_is_as_it_was_without_the_map_of_spellings(text):
    assert english(text) == EnglishTextNormalizer({})(text).strip()


def test_numbers_of_mandarin_are_characters():
    assert chinese("我有3个 iPad。") == "我 有 3 个 ipad" and mandarin("我有3个 iPad。") == "我 有 三 个 ipad"
    assert mandarin("it is 5") == "it is five"
    said, heard = {"a": "二零二四年有两个"}, {"a": "2024年有2个。"}
    assert error_rate(said, heard, "mandarin").percent == 0 < error_rate(said, heard, "chinese").percent
    text = {"a": "今天天气很好", "b": "你好 world"}  # without digits both count the same
    wrong = {"a": "今天天汽好", "b": "你好 word"}
    assert error_rate(text, wrong, "mandarin") == error_rate(text, wrong, "chinese")


def test_plain_keeps_apostrophes_inside_words_and_numbers_as_written():
    assert plain("Don't say 'five', say 5!") == "don't say five say 5"


def test_characters_are_words():
    assert characters("Ab c.") == "a b c"


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="unknown normaliser 'welsh'; there are english"):
        normaliser("welsh")
