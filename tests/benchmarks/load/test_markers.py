"""What a user was told in words, and whether another's word is in it."""

from __future__ import annotations

import pytest

from benchmarks.load.markers import choose, foreign, words_of


def item(kind, **content):
    return {"type": kind, "item": {"content": [{"type": "input_audio", **content}]}}


def test_all_words_are_read_and_no_sound():
    events = [
        {"type": "response.output_audio_transcript.delta", "delta": "The wal"},
        {"type": "response.output_audio.delta", "delta": "spider"},
        {"type": "response.output_audio_transcript.delta", "delta": "RUS"},
        item("conversation.item.added", transcript="penguins"),
        {"type": "error", "error": {"message": "hamlet", "code": "x"}},
    ]
    told = words_of(events)
    assert "walrus" in told and "penguins" in told
    assert "spider" not in told and "hamlet" not in told


def test_a_marker_is_a_users_own_word_and_rather_one_that_was_heard():
    texts = ["Where do penguins live?", "Where do walruses live here?", "What do bees make?"]
    told = ["were do pengins live", "walruses live in the sea", "bees mak"]
    assert choose(texts, told) == ["penguins", "walruses", "bees"]
    with pytest.raises(ValueError, match="no word that the other questions lack"):
        choose(texts[:1] * 2, told[:2])


def test_a_word_that_another_is_told_when_alone_is_no_marker():
    texts = ["Is Paris large today?", "Who wrote Hamlet?"]
    assert choose(texts, ["", "hamlet is set in paris, not a large town"]) == ["today", "hamlet"]
    assert choose(texts, ["", "who wrote hamlet"])[1] == "hamlet"


def test_the_word_of_another_is_seen():
    assert foreign("the blue walrus", ["walrus", "blue"], own=0) == ["blue"]
    assert foreign("the walrus", ["walrus", "blue"], own=0) == []
