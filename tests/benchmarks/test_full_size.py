"""The benchmark of the paper's sizes, at toy widths: its figures, and what it leaves of others."""

from __future__ import annotations

import json

import pytest

from benchmarks.device.sizes import QWEN2_7B
from benchmarks.full_size import OUTPUT, fitting_layers, main
from benchmarks.turns import take_turns


def test_ways_go_first_in_turns():
    order, found = [], []
    ways = {name: lambda number, name=name: order.append(name) or f"{name}{number}" for name in "ab"}
    spent = take_turns(ways, 3, found.append)
    assert order == ["a", "b", "b", "a", "a", "b"] and {len(times) for times in spent.values()} == {3}
    assert found[1] == {"a": "a1", "b": "b1"}


def test_layers_fit_in_all_forms():
    layer = 7 * (3584 * (2 * 3584 + 2 * 512 + 3 * 18944) + 3584 + 2 * 512 + 2 * 3584)
    assert [fitting_layers(QWEN2_7B, room) for room in (0, 4 * layer - 1, 4 * layer, 10**12)] == [1, 3, 4, 28]


def test_it_adds_its_figures_to_those_of_others(tmp_path):
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"llm_answer_equal": 0.95}))
    main(["--size", "toy", "--layers", "2", "--threads", "1", "--bits", "float16", "--output", str(path)])
    written = json.loads(path.read_text())
    details = written["full_size"]
    assert written["llm_answer_equal"] == 0.95 and details["llm_layers"] == 2 and details["made"]["seed"] == 0
    for name in ("encoder_step", "speech_second", "llm_token"):
        assert written[name] == details[name]["float16"]["ratio"] > 0 and details[name]["released_ms"] > 0
        errors = [details[name][bits]["error"] for bits in ("float16", "int8")]
        assert 0 < errors[0] < 0.002 and errors[0] < errors[1] < 0.05, "the same work, nearly"


def test_toy_widths_are_no_result(capsys):
    with pytest.raises(SystemExit):
        main(["--size", "toy", "--output", str(OUTPUT)])
    assert "toy is no result" in capsys.readouterr().err
