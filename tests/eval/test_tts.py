"""Scoring folders in which something is missing."""

import pytest

from freeze_omni.eval import tts
from freeze_omni.eval.config import DecodeConfig, TtsDecodeConfig
from freeze_omni.eval.tts import prefix_gain, score_speech, setting_name, settings_of


def test_a_model_that_spoke_no_answer_has_no_figure_for_it(tmp_path):
    folder = tmp_path / "latency"
    folder.mkdir()
    (folder / "decode.json").write_text("{}")
    (folder / "text").write_text("q1 \n")
    (folder / "wav.scp").write_text("")
    assert score_speech(tmp_path, DecodeConfig(), tmp_path / "no_judge") == {"speech": {}}


def test_answers_to_a_further_set_have_a_figure_of_their_own(tmp_path, monkeypatch):
    sets = (("latency", "one cat"), ("latency_llama_questions", "one dog"), ("latency_desk_top_draw2", "cat"))
    for name, heard in sets:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "decode.json").write_text("{}")
        (folder / "text").write_text("q1 one cat\n")
        (folder / "wav.scp").write_text("q1 q1.wav\n")
        (folder / "heard").write_text(heard)
    monkeypatch.setattr(tts, "data_of", lambda folder: folder)
    monkeypatch.setattr(tts, "judged_texts", lambda folder, *_: {"q1": (folder / "heard").read_text()})
    found = score_speech(tmp_path, DecodeConfig(), tmp_path / "judge")["speech"]
    assert {name: one["percent"] for name, one in found.items()} == {
        "streamed": 0,
        "streamed_llama_questions": 50,
        "streamed_desk_top_draw2": 50,
    }
    assert "to desk_top_draw2 50.0" in "\n".join(tts.SECTIONS[0].lines([("mini", found)]))


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


def test_sessions_setting_is_spoken_with_several_tokens_a_pass():
    config = TtsDecodeConfig(top_k=(1, 3), draws=2, tokens_per_pass=(1, 2))
    found = settings_of(config, (False,))
    assert list(found)[:3] == ["no_prefix_top1", "no_prefix_top3", "no_prefix_top3_draw2"]
    assert found["served_pass2_draw2"] == (None, False, 2, 1)
    assert len(found) == 3 + 4
