"""Counts of words on hand-made cases."""

import math

import pytest

from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.eval.wer import error_rate

REFERENCES = {"a": "the cat sat on the mat", "b": "hello world", "c": "yes"}


def test_perfect_is_zero_with_a_closed_interval():
    rate = error_rate(REFERENCES, REFERENCES)
    assert (rate.percent, rate.low, rate.high, rate.words, rate.utterances) == (0, 0, 0, 9, 3)


def test_substitution_deletion_insertion_are_counted():
    said = {"a": "the cat sad on mat", "b": "hello big world", "c": "yes"}
    rate = error_rate(REFERENCES, said)
    assert (rate.substitutions, rate.deletions, rate.insertions) == (1, 1, 1)
    assert rate.percent == pytest.approx(100 * 3 / 9)
    assert rate.sentence_percent == pytest.approx(100 * 2 / 3)
    assert rate.low <= rate.percent <= rate.high


def test_a_missing_hypothesis_is_all_deleted_and_an_empty_reference_all_inserted():
    assert error_rate({"a": "one two"}, {}).deletions == 1  # "one two" are one number, 12
    rate = error_rate({"a": "", "b": "hello there"}, {"a": "uh huh well", "b": "hello there"})
    assert rate.insertions == len("huh well".split())  # the normaliser drops the filler
    assert rate.words == 2


def test_the_normaliser_is_the_named_one():
    assert error_rate({"a": "It's 5."}, {"a": "it is five"}).percent == 0
    assert error_rate({"a": "It's 5."}, {"a": "it is five"}, "plain").percent == 150
    assert error_rate({"a": "abcd"}, {"a": "abxd"}, "characters").percent == 25


def test_strangers_and_empty_sets_are_errors():
    with pytest.raises(ValueError, match="hypothesis 'z' has no reference"):
        error_rate(REFERENCES, {"z": "hello"})
    with pytest.raises(ValueError, match="empty"):
        error_rate({}, {})


def test_the_interval_is_reproducible_and_shrinks_with_more_utterances():
    few, many = ratio_interval([0, 1] * 10), ratio_interval([0, 1] * 1000)
    assert few == ratio_interval([0, 1] * 10)
    assert few[0] < 0.4 < 0.6 < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 3
    assert all(math.isnan(end) for end in ratio_interval([]))
