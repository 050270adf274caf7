"""Dumping a data directory: what is written, going on after a kill, errors."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from freeze_omni.bin.codec_dump import main
from freeze_omni.checkpoint import read_model
from freeze_omni.codec import dump
from freeze_omni.config import as_mapping
from freeze_omni.data.tables import read_table, write_table
from tests.commands import exit_code
from tests.contract.parts.codec import toy_codec

SIZES = {"b-1": 30000, "a-2": 12345, "a-1": 600}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    codec = toy_codec("spectral")
    exp, data = tmp_path / "exp", tmp_path / "data"
    exp.mkdir(), data.mkdir()
    torch.save({f"codec.{k}": v for k, v in codec.state_dict().items()}, exp / "best.pth")
    model = {"codec": as_mapping(codec.config)}
    (exp / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    for uid, samples in SIZES.items():
        soundfile.write(data / f"{uid}.wav", 0.1 * np.random.randn(samples), 24000)
    (data / "wav.scp").write_text("".join(f"{u} {data / u}.wav\n" for u in sorted(SIZES)))
    (data / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    return tmp_path


def run(recipe: Path, *more: str) -> int:
    options = {"checkpoint": "exp/best.pth", "data_dir": "data", "output_dir": "dump"}
    arguments = [f"--{key}={recipe / value}" for key, value in options.items()]
    return exit_code(main, [*arguments, *more])


def test_tokens_and_voices_are_those_of_encoding(recipe: Path) -> None:
    assert run(recipe) == 0
    codec = read_model([f"{recipe / 'exp' / 'best.pth'}:codec"]).codec
    tokens = read_table(recipe / "dump" / "tokens")
    voices = {uid: dump.read_voice(line) for uid, line in read_table(recipe / "dump" / "voices").items()}
    assert list(tokens) == sorted(SIZES)
    for uid in SIZES:
        wav, _ = soundfile.read(recipe / "data" / f"{uid}.wav", dtype="float32")
        expected, _, voice = codec.encode(torch.from_numpy(wav)[None])
        assert [int(token) for token in tokens[uid].split()] == expected[0].tolist()
        np.testing.assert_allclose(voices[uid].numpy(), voice[0].numpy(), rtol=1e-4, atol=1e-4)
    assert list(read_table(recipe / "dump" / "speakers")) == ["a", "b"]
    assert not (recipe / "dump" / "parts").exists()


def test_a_speaker_may_have_any_name(tmp_path: Path) -> None:
    """`file`, `args` and the like are arguments of numpy.savez."""
    names = ("file", "args", "self", "allow_pickle", "kwds", "arr_0")
    dump._save(tmp_path / "x.npz", {name: np.full(3, number) for number, name in enumerate(names)})
    found = np.load(tmp_path / "x.npz")
    assert {name: int(found[name][0]) for name in found.files} == {name: at for at, name in enumerate(names)}


def test_a_killed_run_goes_on(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(recipe) == 0
    complete = (recipe / "dump" / "tokens").read_bytes()
    encoded: list[str] = []
    encode = dump._encode

    def dies_at_the_second(codec, recordings, batch_s):
        if encoded:
            raise KeyboardInterrupt
        encoded.extend(recordings)
        return encode(codec, recordings, batch_s)

    monkeypatch.setattr(dump, "_encode", dies_at_the_second)
    monkeypatch.setattr(dump, "BATCH_UTTERANCES", 1)
    (recipe / "dump" / "tokens").unlink()
    with pytest.raises(KeyboardInterrupt):
        run(recipe)
    assert not (recipe / "dump" / "tokens").exists()
    rest: list[str] = []

    def counts(codec, recordings, batch_s):
        rest.extend(recordings)
        return encode(codec, recordings, batch_s)

    monkeypatch.setattr(dump, "_encode", counts)
    assert run(recipe) == 0
    assert (recipe / "dump" / "tokens").read_bytes() == complete
    assert len(encoded) == 1 and sorted(rest + encoded) == sorted(SIZES)


def test_one_line_says_what_is_wrong(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    (recipe / "data" / "a-2.wav").unlink()
    assert run(recipe) == 1
    assert "a-2.wav: no such file" in capsys.readouterr().err
    assert run(recipe, "--checkpoint", str(recipe / "exp" / "none.pth")) == 1
    assert "none.pth: no such checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [2, 5])
def test_an_array_of_jobs_writes_the_same(recipe: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(dump, "BATCH_UTTERANCES", 2)
    assert run(recipe) == 0
    names = ("tokens", "voices", "speakers")
    alone = [(recipe / "dump" / name).read_bytes() for name in names]
    shutil.rmtree(recipe / "dump")
    for number in range(1, jobs + 1):
        assert run(recipe, f"--part={number}/{jobs}") == 0
        assert not (recipe / "dump" / "tokens").exists()
    monkeypatch.setattr(dump, "_encode", None)  # merging encodes nothing
    assert run(recipe) == 0
    assert [(recipe / "dump" / name).read_bytes() for name in names] == alone


def test_memory_does_not_grow_with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An utterance that is held takes 1300 bytes; numpy's archives are freed some time after they were read."""
    found = ([1, 2, 3, 4] * 10, np.arange(32))
    monkeypatch.setattr(dump, "_encode", lambda codec, batch, batch_s: dict.fromkeys(batch, found))
    monkeypatch.setattr(dump, "BATCH_UTTERANCES", 20)
    peaks, counts = [], (60, 60, 400)  # the first one imports
    for number, count in enumerate(counts):
        data, output = tmp_path / f"data{number}", tmp_path / f"out{number}"
        ids = [f"speaker{at // 10:04d}-utterance-{at:06d}" for at in range(count)]
        data.mkdir()
        write_table(data / "wav.scp", {uid: f"/sounds/{uid}.wav" for uid in ids})
        write_table(data / "utt2spk", {uid: uid.split("-")[0] for uid in ids})
        tracemalloc.start()
        assert dump.dump_tokens(lambda: None, data, output) == count  # type: ignore[arg-type,return-value]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        lines = [(output / name).read_text().count("\n") for name in ("tokens", "voices", "speakers")]
        assert lines == [count, count, count // 10]
    assert peaks[2] < peaks[1] + 500 * counts[2]


def test_a_device_that_is_not_there_is_told(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(recipe, "--device=nonsense") == 1
    assert "--device nonsense: no such kind of device" in capsys.readouterr().err
