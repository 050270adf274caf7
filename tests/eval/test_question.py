"""What a session did, in lines."""

from __future__ import annotations

import numpy as np

from freeze_omni.eval.question import TimeLine, report

FOUND = {"transcript": "", "states": [], "decided_s": 1.0, "answer": "Paris.", "first_audio_s": None}


def test_words_that_were_not_heard_are_said_to_be_missing():
    assert report(FOUND, timed=False) == ["user:     (no transcript)", "answer:   Paris."]
    assert report({**FOUND, "transcript": "where"}, timed=False)[0] == "user:     where"


def test_a_paused_answer_sounds_later_and_counts_as_heard_when_it_does():
    line = TimeLine(np.zeros(1000, np.float32), 100)
    line.play(np.full(200, 0.5, np.float32), 1.0)
    line.pause(2.0)
    line.play(np.full(100, 0.25, np.float32), 2.5)
    assert line.heard_s(3.0) == 1.0 and not line.wav[200:].any()
    line.resume(4.0)
    assert line.wav[400:500].tolist() == [0.5] * 100 and line.wav[500:600].tolist() == [0.25] * 100
    assert line.heard_s(4.5) == 1.5 and line.heard_s(9.0) == 3.0 and line.starts_s == [1.0]
    line.pause(5.5)
    line.stop(6.0)
    assert not line.wav[550:].any() and line.paused_s is None
