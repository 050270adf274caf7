"""Scoring folders in which something is missing."""

import pytest

from freeze_omni.eval.config import DecodeConfig, TtsDecodeConfig
from freeze_omni.eval.tts import prefix_gain, score_speech, setting_name


def test_a_model_that_spoke_no_answer_has_no_figure_for_it(tmp_path):
    folder = tmp_path / "latency"
    folder.mkdir()
    (folder / "decode.json").write_text("{}")
    (folder / "text").write_text("q1 \n")
    (folder / "wav.scp").write_text("")
    assert score_speech(tmp_path, DecodeConfig(), tmp_path / "no_judge") == {"speech": {}}


def test_the_prefix_gain_is_over_the_same_top_ks_and_all_draws():
    settings = {
        "no_prefix_top1": ({"no_prefix_top1 a": 2, "no_prefix_top1 b": 0}, 1),
        "prefix_top1": ({"prefix_top1 a": 1, "prefix_top1 b": 0}, 1),
        "no_prefix_top3": ({"no_prefix_top3 a": 4, "no_prefix_top3_draw2 a": 0}, 2),
        "prefix_top3": ({"prefix_top3 a": 2, "prefix_top3_draw2 a": 2}, 2),
        "prefix_top5": ({"prefix_top5 a": 9}, 1),
    }
    found = prefix_gain(settings)
    assert found["gain"] == 0.25, "(2 + 2) errors without, (1 + 2) with: two draws count once"
    assert (found["top_k"], found["draws"], found["count"]) == ([1, 3], 2, 2)
    assert found["low"] <= found["gain"] <= found["high"]
    assert prefix_gain({"no_prefix_top1": settings["no_prefix_top1"]}) is None, "a recipe without a prefix"


def test_only_what_can_be_drawn_is_drawn_again():
    assert [setting_name(2, True, draw) for draw in range(2)] == ["prefix_top2", "prefix_top2_draw2"]
    with pytest.raises(ValueError, match="draws is 1 or more"):
        TtsDecodeConfig(draws=0)
