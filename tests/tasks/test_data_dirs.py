"""Data directories are checked before the long work starts."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni.config import ConfigError
from freeze_omni.tasks.data_dirs import add_data_dirs
from freeze_omni.tasks.dialogue import DialogueTask
from freeze_omni.tasks.encoder import EncoderTask
from freeze_omni.tasks.speech_decoder import SpeechDecoderTask
from tests.tasks.corpus import write_corpus


def options(folder: Path, *data: Path) -> argparse.Namespace:
    lists = {
        f"{role}_{kind}": [] for role in ("train", "valid") for kind in ("data_path_and_name_and_type", "shape_file")
    }
    dirs = {f"{role}_dir": [str(path) for path in data] for role in ("train", "valid")}
    return argparse.Namespace(output_dir=str(folder / "exp"), **lists, **dirs)


def add(args: argparse.Namespace, task=EncoderTask) -> argparse.Namespace:
    add_data_dirs(args, task.files, task.optional, task.sample_hz)
    return args


def lengths(args: argparse.Namespace) -> dict[str, int]:
    rows = [line.split() for line in Path(args.train_shape_file[0]).read_text().splitlines()]
    return {uid: int(size) for uid, size in rows}


def test_lists_files_and_writes_lengths(tmp_path):
    data = write_corpus(tmp_path / "data")
    args = add(options(tmp_path, data))
    assert args.train_data_path_and_name_and_type == [
        (f"{data}/wav.scp", "speech", "sound"),
        (f"{data}/text", "text", "text"),
    ]
    assert lengths(args) == {f"utt{number}": (6 + number) * 2560 for number in range(4)}
    (data / "utt2num_samples").unlink()
    assert lengths(add(options(tmp_path, data))) == lengths(args)
    assert lengths(add(options(tmp_path, data), SpeechDecoderTask))["utt3"] == 12


def test_takes_a_file_from_the_first_folder_that_has_it_and_the_ids_of_all(tmp_path, caplog):
    data, other = write_corpus(tmp_path / "data"), tmp_path / "other"
    other.mkdir()
    (other / "text").write_text("utt1 Something else\nutt9 Never spoken\n")
    args = add(options(tmp_path, other, data))
    assert args.train_data_path_and_name_and_type[1][0] == f"{other}/text"
    assert set(lengths(args)) == {"utt1"} and "left out" in caplog.text


def test_an_answer_may_be_missing(tmp_path):
    args = add(options(tmp_path, write_corpus(tmp_path / "data")), DialogueTask)
    assert len(lengths(args)) == 4
    names = [name for _, name, _ in args.train_data_path_and_name_and_type]
    assert names == ["speech", "answer", "states", "question"]


def test_wrong_data_is_reported_with_the_file(tmp_path):
    data = write_corpus(tmp_path / "data")
    with pytest.raises(ConfigError, match="give --train_dir"):
        add(options(tmp_path))
    (data / "text").write_text("other Hello\n")
    with pytest.raises(ConfigError, match="no id is also in"):
        add(options(tmp_path, data))
    (data / "text").write_text("")
    with pytest.raises(ConfigError, match="text: empty"):
        add(options(tmp_path, data))
    (data / "text").unlink()
    with pytest.raises(ConfigError, match="data: no text"):
        add(options(tmp_path, data))
    soundfile.write(data / "utt0.wav", np.zeros(100), 8000)
    with pytest.raises(ConfigError, match="wav.scp:1: .*utt0.wav has 8000 Hz, not 16000"):
        add(options(tmp_path, data))
    (data / "utt0.wav").write_bytes(b"RIFF")
    with pytest.raises(ConfigError, match="cannot be read as audio"):
        add(options(tmp_path, data))
