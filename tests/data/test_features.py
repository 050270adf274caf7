"""Features of a directory by an array of jobs are those of one job."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from omniio import kaldi

from freeze_omni.data import features
from freeze_omni.data.audio import write_wav
from freeze_omni.data.features import dump_features
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.tables import read_table, write_table


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(features, "SHARD_UTTERANCES", 2)
    sounds = {f"u{number}": np.random.default_rng(number).uniform(-0.1, 0.1, 400 + 80 * number) for number in range(7)}
    for uid, samples in sounds.items():
        write_wav(tmp_path / "wav" / f"{uid}.wav", samples, 16000)
    data = tmp_path / "data"
    data.mkdir()
    write_table(data / "wav.scp", {uid: tmp_path / "wav" / f"{uid}.wav" for uid in sounds})
    write_table(data / "text", {uid: f"Words of {uid}." for uid in sounds})
    return data


def frontend(sounds):
    """Depends on what is in a batch, as arithmetic in floats does."""
    most = max(map(len, sounds))
    return [torch.stack([wav[:400] * most, wav[:400]], 1) for wav in sounds]


def content(folder: Path) -> dict[str, object]:
    tables = {name: (folder / name).read_text() for name in ("utt2num_frames", "text")}
    feats = {uid: kaldi.load_mat(entry).tobytes() for uid, entry in read_table(folder / "feats.scp").items()}
    return tables | {"feats": feats, "order": list(feats)}


@pytest.mark.parametrize("jobs", [2, 3, 9])
def test_the_number_of_jobs_changes_nothing(data, tmp_path, jobs):
    dump_features(frontend, data, tmp_path / "one")
    done = [dump_features(frontend, data, tmp_path / "more", part=Part(number, jobs)) for number in range(jobs, 0, -1)]
    assert sum(done) == 7 and not (tmp_path / "more/feats.scp").exists()

    def unused(sounds):
        raise AssertionError("merging computes nothing")

    assert dump_features(unused, data, tmp_path / "more", part=WHOLE) == 7
    assert content(tmp_path / "more") == content(tmp_path / "one")


def test_a_killed_array_makes_only_what_is_missing(data, tmp_path):
    seen: list[int] = []

    def dies(sounds):
        seen.append(len(sounds))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return frontend(sounds)

    with pytest.raises(KeyboardInterrupt):
        dump_features(dies, data, tmp_path / "more", part=Part(1, 2))
    for number in (1, 2):
        dump_features(dies, data, tmp_path / "more", part=Part(number, 2))
    assert seen == [2, 2, 2, 2, 1], "one shard before the kill, the one that died again, two of the other job"


def test_memory_does_not_grow_with_the_set(tmp_path, monkeypatch):
    """A few bytes an utterance, of which each has more than a hundred in the tables."""
    monkeypatch.setattr(features, "read_audio", lambda entry, hz: (np.full(400, 0.1, np.float32), hz))
    monkeypatch.setattr(features, "SHARD_UTTERANCES", 50)
    peaks, counts = [], (100, 100, 3000)  # the first one imports
    for run, count in enumerate(counts):
        data = tmp_path / f"data{run}"
        data.mkdir()
        write_table(data / "wav.scp", {f"speaker-utterance-{at:06d}": f"/sounds/{at}.wav" for at in range(count)})
        tracemalloc.start()
        assert dump_features(frontend, data, tmp_path / f"out{run}") == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (tmp_path / f"out{run}/feats.scp").read_text().count("\n") == count
    assert peaks[2] < peaks[1] + 40 * counts[2]
