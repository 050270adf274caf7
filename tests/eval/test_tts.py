"""Scoring folders in which something is missing."""

from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.tts import score_speech


def test_a_model_that_spoke_no_answer_has_no_figure_for_it(tmp_path):
    folder = tmp_path / "latency"
    folder.mkdir()
    (folder / "decode.json").write_text("{}")
    (folder / "text").write_text("q1 \n")
    (folder / "wav.scp").write_text("")
    assert score_speech(tmp_path, DecodeConfig(), tmp_path / "no_judge") == {}
