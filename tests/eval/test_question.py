"""What a session did, in lines."""

from __future__ import annotations

from freeze_omni.eval.question import report

FOUND = {"transcript": "", "states": [], "decided_s": 1.0, "answer": "Paris.", "first_audio_s": None}


def test_words_that_were_not_heard_are_said_to_be_missing():
    assert report(FOUND, timed=False) == ["user:     (no transcript)", "answer:   Paris."]
    assert report({**FOUND, "transcript": "where"}, timed=False)[0] == "user:     where"
