"""RESULTS.md shows the scale that was run with those that were run before."""

import json

import pytest

from freeze_omni.bin import results
from freeze_omni.provenance import provenance


def figures(scale, wall_min, wer):
    rate = {"percent": wer, "low": wer, "high": wer, "words": 9, "utterances": 3}
    return {
        "scale": scale,
        "toy": False,
        "asr_wer_seen": wer,
        "wall_min": wall_min,
        "models": {"ctc": {"asr": {"seen": {"chunk4": rate, "chunk_inf": rate}}}},
        "sizes": {},
        "stage_seconds": {"1": 60.0},
        "facts": {},
        "provenance": provenance(777),
    }


@pytest.fixture
def scales(tmp_path):
    for name, wall_min, wer in (("base", 130.0, 2.0), ("mini", 48.0, 7.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps(figures(name, wall_min, wer)))
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "latency.png").write_bytes(b"drawn when mini was run")
    return tmp_path


def written(scales, *more):
    output = scales / "RESULTS.md"
    results.main(["--results", str(scales / "base.json"), "--output", str(output), *more])
    return output.read_text()


def test_other_scales_stand_with_it_the_quickest_first_with_their_pictures(scales):
    text = written(scales, "--beside", *map(str, scales.glob("*.json")))
    assert "| figure | what | mini | base |" in text
    assert "voices of training: words heard wrong, % | 7.000 | 2.000 |" in text
    assert "![mini: latency](mini/latency.png)" in text
    assert "Scale mini:" in text and "Scale base:" in text


def test_alone_it_shows_itself(scales):
    text = written(scales)
    assert "| figure | what | base |" in text and "mini" not in text


def test_another_file_that_is_no_results_file_is_named(scales):
    (scales / "notes.json").write_text("{}")
    with pytest.raises(SystemExit, match="notes.json: no results of stage 12"):
        written(scales, "--beside", str(scales / "notes.json"))
