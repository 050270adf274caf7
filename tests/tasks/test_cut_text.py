"""Runs of words, with the speech tokens that say them."""

from __future__ import annotations

import numpy as np
import pytest

from freeze_omni.config import ConfigError, build
from freeze_omni.tasks.speech_decoder import CutText, SpeechDecoderModelConfig, cut, word_rows

SPACE = 0
TEXT = np.array([1, 2, SPACE, 3, SPACE, 4, 5, 6])
ROWS = np.array([2, 1, 0, 3, 1, 0, 2, 1])


def entries():
    return {"text": TEXT, "row_tokens": ROWS, "tokens": np.arange(ROWS.sum())}


def test_words_lie_between_spaces():
    assert word_rows([True, False, False, True, True, False]) == [(1, 3), (5, 6)]


def test_a_run_keeps_its_own_tokens():
    found = cut(entries(), 3, 8)
    assert found["text"].tolist() == [3, 0, 4, 5, 6] and found["row_tokens"].tolist() == [3, 1, 0, 2, 1]
    assert found["tokens"].tolist() == [3, 4, 5, 6, 7, 8, 9]


def test_cut_utterances_are_whole_words_of_the_sentence():
    np.random.seed(0)
    cutter = CutText(lambda uid, data: data, 1.0, lambda row: row == SPACE)
    runs = {tuple(found["text"].tolist()) for found in (cutter("a", entries()) for _ in range(30))}
    assert runs == {(1, 2, SPACE, 3), (3, SPACE, 4, 5, 6)}
    for found in (cutter("a", entries()) for _ in range(5)):
        assert found["row_tokens"].sum() == len(found["tokens"])


def test_without_durations_or_chance_a_sentence_stays_whole():
    cutter = CutText(lambda uid, data: data, 1.0, lambda row: row == SPACE)
    assert "tokens" in cutter("a", {"text": TEXT, "tokens": ROWS}) and len(cutter("a", {"text": TEXT})["text"]) == 8
    never = CutText(lambda uid, data: data, 0.0, lambda row: row == SPACE)
    assert never("a", entries())["text"].tolist() == TEXT.tolist()


def test_a_cut_needs_durations():
    with pytest.raises(ConfigError, match="length: predicted"):
        build(SpeechDecoderModelConfig, {"speech_decoder": {}, "cut": 0.5}, "tts.yaml")
