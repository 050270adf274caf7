"""What a transcriber says of a directory: the same by any number of jobs, and resumed after a kill."""

from pathlib import Path

import numpy as np
import pytest

from freeze_omni.data import said
from freeze_omni.data.audio import write_wav
from freeze_omni.data.parts import Part
from freeze_omni.data.said import dump_said
from freeze_omni.data.tables import read_table, write_table


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(said, "SHARD_UTTERANCES", 2)
    monkeypatch.setattr(said, "SOUNDS_AT_ONCE", 2)
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        write_wav(tmp_path / f"u{number}.wav", np.full(400 + 80 * number, 0.1), 16000)
    write_table(folder / "wav.scp", {f"u{number}": tmp_path / f"u{number}.wav" for number in range(5)})
    return folder


def numbers(sounds):
    """Nothing of the shortest, three numbers of others."""
    return [[len(wav), 0, 1] if len(wav) > 400 else [] for wav in sounds]


def test_each_utterance_has_its_numbers(data, tmp_path):
    assert dump_said(numbers, data, tmp_path / "out") == 5
    expected = {"u0": ""} | {f"u{number}": f"{400 + 80 * number} 0 1" for number in range(1, 5)}
    assert read_table(tmp_path / "out/said", need_value=False) == expected


def test_the_number_of_jobs_changes_nothing(data, tmp_path):
    dump_said(numbers, data, tmp_path / "one")
    for number in (2, 1):
        dump_said(numbers, data, tmp_path / "more", Part(number, 2))
    assert not (tmp_path / "more/said").exists()

    def unused(sounds):
        raise AssertionError("merging computes nothing")

    dump_said(unused, data, tmp_path / "more")
    assert (tmp_path / "more/said").read_text() == (tmp_path / "one/said").read_text()


def test_a_killed_run_makes_only_what_is_missing(data, tmp_path):
    heard: list[int] = []

    def dies(sounds):
        heard.append(len(sounds))
        if len(heard) == 2:
            raise KeyboardInterrupt
        return numbers(sounds)

    with pytest.raises(KeyboardInterrupt):
        dump_said(dies, data, tmp_path / "out")
    assert dump_said(dies, data, tmp_path / "out") == 5
    assert heard == [2, 2, 2, 1]
