"""Error rates of sets of several languages, from decoding folders made by hand."""

from __future__ import annotations

import json

from freeze_omni.config import build
from freeze_omni.data.tables import write_table
from freeze_omni.eval import asr
from freeze_omni.eval.config import DecodeConfig


def decoded(root, name, said, heard):
    write_table(root / "data" / name / "text", {"a": said})
    folder = root / "decode" / f"asr_{name}"
    write_table(folder / "text.chunk4", {"a": heard})
    (folder / "made_from.json").write_text(json.dumps({"data": str(root / "data" / name)}))
    (folder / "decode.json").write_text("{}")


def test_each_set_has_the_normaliser_of_its_language(tmp_path):
    decoded(tmp_path, "ours", "It is coloured.", "it's colored")
    decoded(tmp_path, "aishell", "我有3本书。", "我有三本树")
    plain = {"asr": {"chunk_sizes": [4]}, "score": {"sets": {"aishell": {"normaliser": "chinese", "language": "zh"}}}}
    config = build(DecodeConfig, plain, "decode.yaml")
    found = asr.score(tmp_path / "decode", config)["asr"]
    assert found["ours"]["chunk4"]["percent"] == 0
    assert found["aishell"]["chunk4"]["percent"] == 40 and found["aishell"]["chunk4"]["words"] == 5


def test_the_judge_hears_each_set_in_its_language():
    config = build(DecodeConfig, {"score": {"sets": {"aishell": {"language": "zh"}}}}, "decode.yaml").score
    assert config.of("aishell").judge.language == "zh" and config.of("aishell").normaliser == "english"
    assert config.of("other") == config
