"""Figures at the size of a cluster are measured on toys here, and each keeps its place in the file."""

from __future__ import annotations

import json

import pytest

from benchmarks import scale
from benchmarks.scale_ray import sessions_lost


@pytest.mark.processes
@pytest.mark.parametrize("measured", [scale.resume_loss_difference, scale.resume_loss_difference_shards])
def test_a_killed_training_goes_on_with_the_losses_of_one_that_was_not(tmp_path, measured):
    assert measured(tmp_path) <= 1e-6


@pytest.mark.processes
def test_a_ray_node_that_is_killed_loses_no_session(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'freeze_omni[ray]'")
    assert sessions_lost(tmp_path, sessions=4) == 0


def test_a_figure_is_written_beside_the_others(tmp_path, monkeypatch):
    path = tmp_path / "scale.json"
    monkeypatch.setattr(scale, "FIGURES", {"one": lambda _: 1.5, "two": lambda _: 2})
    assert scale.main(["--output", str(path), "one"]) == 0
    assert scale.main(["--output", str(path), "two"]) == 0
    record = json.loads(path.read_text())
    assert (record["one"], record["two"]) == (1.5, 2) and set(record["made"]) == {"one", "two"}
    with pytest.raises(SystemExit):
        scale.main(["three"])


@pytest.mark.processes
def test_two_processes_prepare_what_one_does_and_are_timed(tmp_path):
    found = scale.nj2_speedup(tmp_path, recordings=3, rounds=1)
    seconds = [found["nj2_runs"][name][0] for name in ("seconds_nj1", "seconds_nj2")]
    assert found["nj2_speedup"] == pytest.approx(seconds[0] / seconds[1]) and min(seconds) > 0
    assert (tmp_path / "nj2/text").read_text().count("\n") == 9, "three speeds"
