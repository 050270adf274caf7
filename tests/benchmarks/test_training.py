"""The benchmark of training time: what it reads of a training's files."""

from __future__ import annotations

import pytest

from benchmarks.training import of_update, run_log, trained_by


def test_it_reads_the_command_and_the_time_of_an_update(tmp_path):
    folder = tmp_path / "1.3_dialogue_words"
    folder.mkdir()
    line = "# env OMP_NUM_THREADS=2 python -m train --config a.yaml --output_dir exp --system 'Be kind.'"
    (folder / "run.log").write_text(f"{line}\n# Running on here\n")
    command = trained_by(run_log(tmp_path, "1.3_dialogue*"))
    assert command[0] == "OMP_NUM_THREADS=2" and command[-1] == "Be kind."
    result = (
        "(trainer:392) INFO: 1epoch results: [train] iter_time=0.034, train_time=1.443, time=1 minute, [valid] loss=3"
    )
    assert of_update(result) == 1.443


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"2\.3_prefix/run\.log: no such file; train the recipe first"):
        run_log(tmp_path, "2.3_prefix")
    (tmp_path / "run.log").write_text("# sleep 1\n")
    with pytest.raises(ValueError, match=r"run\.log:1: no training"):
        trained_by(tmp_path / "run.log")
    with pytest.raises(ValueError, match="no results of an epoch"):
        of_update("")
