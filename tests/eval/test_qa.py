"""The rule of right answers."""

import pytest

from freeze_omni.eval.qa import accuracy, is_right


@pytest.mark.parametrize(
    ("answer", "references", "right"),
    [
        ("The capital of France is Paris.", ["Paris"], True),
        ("It is Parisian.", ["Paris"], False),
        ("They eat twenty-one apples.", ["21"], True),
        ("It runs through the Nile valley", ["The Nile"], True),
        ("I don't know.", ["Paris", "Rome"], False),
        ("Rome, of course!", ["Paris", "Rome"], True),
        ("new delhi", ["Delhi New"], False),
        ("", ["Paris"], False),
        ("anything", ["the"], False),
    ],
)
def test_a_reference_has_to_occur_word_for_word(answer, references, right):
    assert is_right(answer, references) is right


def test_accuracy_counts_unanswered_questions_as_wrong():
    found = accuracy({"1": "Paris", "2": "no idea"}, {"1": ["Paris"], "2": ["Rome"], "3": ["Oslo"]})
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["wrong"] == ["2", "3"] and found["answered"] == 2
    assert found["low"] <= found["accuracy"] <= found["high"]


def test_questions_that_cannot_be_scored_are_errors():
    with pytest.raises(ValueError, match="question '2' has no reference answer"):
        accuracy({}, {"1": ["a"], "2": []})
    with pytest.raises(ValueError, match="no questions"):
        accuracy({}, {})
