"""The sweep over first segments and codec chunks, on a toy and with a judge that reads minds."""

from __future__ import annotations

import importlib
import json

import pytest

from benchmarks.load import speech_start as sweep
from freeze_omni import pack
from freeze_omni.data.tables import write_table
from freeze_omni.eval import judge
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session.answer import AnswerConfig, ChunkSchedule
from freeze_omni.speech_decoder.segment import SegmentConfig
from tests.toy import toy_system

OWN = AnswerConfig(segments=SegmentConfig(first_tokens=12, min_tokens=4), chunks=ChunkSchedule(8, 24))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "llm"
    return toy_system(folder, generation=GenerationConfig(max_new_tokens=4))


class Deaf:
    """A judge that hears nothing."""

    name = "deaf"

    def __init__(self, folder):
        pass

    def transcribe(self, clips):
        return dict.fromkeys(clips, "")


def test_one_thing_is_varied_at_a_time_and_the_models_own_is_among_them():
    found = sweep.settings(OWN, [2, 20], [sweep.schedule("4,24,2")])
    assert [one.name for one in found] == [
        "first comma or 2 tokens", "first comma or 12 tokens", "first comma or 20 tokens",
        "4 to 24 tokens, by 2", "8 to 24 tokens, by 1.5",
    ]  # fmt: skip
    assert found[0].answers.chunks == OWN.chunks and found[0].answers.segments.min_tokens == 2
    assert found[3].answers.segments == OWN.segments
    with pytest.raises(ValueError, match="must not shrink"):
        sweep.schedule("9,8")
    with pytest.raises(ValueError, match="FIRST,LATER,GROWS"):
        sweep.schedule("9")


def one(sweep_, name, wer, p50, gaps_ms=0.0):
    rates = {"percent": wer, "low": wer, "high": wer}
    times = {"average": p50, "p50": p50, "p90": p50}
    return {"sweep": sweep_, "name": name, "wer": rates, "first_audio_ms": times, "gaps_ms": gaps_ms}


FOUND = [one("segments", "4", 9.0, 100), one("segments", "8", 5.5, 200), one("segments", "20", 5.0, 400)]
FOUND += [one("chunks", "a", 3.0, 10), one("chunks", "b", 3.0, 9)]


def test_the_earliest_that_is_heard_as_well_is_chosen_and_shown(tmp_path):
    assert sweep.best(FOUND, "segments")["name"] == "8" and sweep.best(FOUND, "chunks")["name"] == "b"
    assert sweep.best(FOUND, "segments", slack=5)["name"] == "4"
    lines = sweep.markdown(FOUND, {"segments": "20", "chunks": "b"}, 1.0)
    assert "| first segment | **8** | 5.5 (5.5-5.5) | 200 / 200 / 200 | 0 |" in lines
    assert any("20 (the model's own)" in line for line in lines)
    assert sweep.draw(FOUND, tmp_path / "curve.png").stat().st_size > 5000


def test_an_earlier_start_must_not_break_the_answer():
    broken = one("chunks", "c", 2.0, 5, gaps_ms=3.0)
    assert sweep.best([*FOUND, broken], "chunks")["name"] == "b"
    worse = one("chunks", "d", 2.0, 4, gaps_ms=9.0)
    assert sweep.best([worse, broken], "chunks")["name"] == "c", "where all break, those that break least"


def test_a_pack_is_swept_and_the_document_gets_the_table(model, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "Judge", Deaf)
    folder = pack.save(model, tmp_path / "pack", copy_llm=False)
    write_table(tmp_path / "text", {"a": "Hello", "b": "", "c": "Who?"})
    command = ["--model", folder, "--judge", "deaf", "--texts", tmp_path, "--limit", "1", "--first_tokens", "4"]
    command += ["--chunks", "2,4", "--output", tmp_path / "docs/x.json", "--table", tmp_path / "docs/serving.md"]
    importlib.import_module("benchmarks.speech_start").main(list(map(str, command)))
    record = json.loads((tmp_path / "docs/x.json").read_text())
    assert len(record["settings"]) == 4 and record["made"]["questions"] == 1
    first = record["settings"][0]
    assert first["wer"]["percent"] == 100 and first["first_audio_ms"]["p50"] > 0 and first["audio_s"] > 0
    assert record["settings"][2]["first_chunk"] == 2 and record["own"]["chunks"] == "8 to 24 tokens, by 1.5"
    text = (tmp_path / "docs/serving.md").read_text()
    assert "](x.png)" in text and text.count("<!-- speech_start: ") == 2


def test_values_that_cannot_be_are_one_line(model, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="speech_start: error: .*no model.bin"):
        command = ["--model", "x", "--judge", str(tmp_path), "--texts", "y"]
        importlib.import_module("benchmarks.speech_start").main(command)
