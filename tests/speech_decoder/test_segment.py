"""Where a growing answer is cut."""

from __future__ import annotations

import re

import pytest

from freeze_omni.speech_decoder.segment import SegmentConfig, SegmentState, finish, push

RELEASED, SENTENCE = SegmentConfig(rule="released"), SegmentConfig(rule="sentence")


def cut(config: SegmentConfig, text: str) -> list[str]:
    """Segments of a text whose words (with the blank in front) and marks are tokens."""
    state, segments = SegmentState(), []
    for delta in re.findall(r"\n|\s?\w+|\s?[^\w\s]", text):
        ready, state = push(config, state, delta)
        segments += ready
    rest, state = finish(state)
    assert state == SegmentState()
    pieces = [segment.text for segment in segments + rest]
    bounds = [(one.first_token, one.end_token) for one in segments + rest]
    assert all(left[1] == right[0] for left, right in zip(bounds, bounds[1:], strict=False))
    assert "".join(pieces) == text[: len("".join(pieces))]
    return pieces


CASES = {
    "first comma, then sentence ends": (
        RELEASED,
        "Well, that is a good question, and I like it, really. Yes, I do like it.",
        ["Well, that is a good question,", " and I like it, really.", " Yes, I do like it."],
    ),
    "comma once twenty tokens wait": (
        RELEASED,
        "Oh yes I do. One, two three four five six seven eight nine ten one two three four five"
        " six seven eight nine, ten.",
        [
            "Oh yes I do.",
            " One, two three four five six seven eight nine ten one two three four five six seven eight nine,",
            " ten.",
        ],
    ),
    "a point after a digit does not cut": (
        RELEASED,
        "The number pi is 3. 14 or so, they say.",
        ["The number pi is 3. 14 or so,", " they say."],
    ),
    "line breaks and full-width marks cut": (
        RELEASED,
        "one two three four\nfive six seven eight。nine ten",
        ["one two three four\n", "five six seven eight。", "nine ten"],
    ),
    "abbreviations and initials do not end sentences": (
        SENTENCE,
        "I know who that is. Ask Dr. Smith or J. Doe about it. They know.",
        ["I know who that is.", " Ask Dr. Smith or J. Doe about it.", " They know."],
    ),
    "a point after a digit waits for what follows": (
        SENTENCE,
        "It is 3.5 or it is 4. That is all there is.",
        ["It is 3.5 or it is 4.", " That is all there is."],
    ),
    "the first segment ends at its twelfth token": (
        SENTENCE,
        "a b c d e f g h i j k l m n o p q r s t u v w x y.",
        ["a b c d e f g h i j k l", " m n o p q r s t u v w x y."],
    ),
    "commas inside numbers do not cut": (
        SENTENCE,
        "There are about 1,000 of them, I think.",
        ["There are about 1,000 of them,", " I think."],
    ),
    "marks alone are not spoken": (SENTENCE, "I see what you mean. * *", ["I see what you mean."]),
}


@pytest.mark.parametrize("name", CASES)
def test_cuts(name):
    config, text, expected = CASES[name]
    assert cut(config, text) == expected


def test_a_segment_knows_its_tokens():
    state, ready = SegmentState(), []
    for delta, tokens in (
        ("Hello there", 2),
        (" my friend", 2),
        (",", 1),
        (" welcome", 3),
        ("!", 1),
    ):
        more, state = push(RELEASED, state, delta, tokens)
        ready += more
    assert [(one.first_token, one.end_token) for one in ready] == [(0, 5), (5, 9)]


def test_state_is_a_value():
    state = SegmentState()
    push(RELEASED, state, "Hello")
    assert state == SegmentState()


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="min_tokens"):
        SegmentConfig(min_tokens=30)
