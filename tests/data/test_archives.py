"""Shards and arks: what others read in them, and what is read at an offset."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from omniio import kaldi

from freeze_omni.data.archives import file_of, new_archive, read_ahead, read_member
from freeze_omni.data.audio import AudioError, encode_audio, entry_header, load_entry, read_audio

SOUNDS = {f"a.{number}": np.sin(np.arange(1000 + 300 * number) / 9).astype(np.float32) / 2 for number in range(4)}


def archive(path: Path, kind: str = "flac") -> dict[str, str]:
    with new_archive(path) as sounds:
        return {
            key: f"{path}:{sounds.add(key, encode_audio(wav, 16000, kind), kind, f'text of {key}')}"
            for key, wav in SOUNDS.items()
        }


@pytest.mark.parametrize(("name", "kind"), [("s.tar", "wav"), ("s.tar", "flac"), ("s.ark", "flac"), ("s.ark", "wav")])
def test_each_sound_is_read_alone(tmp_path: Path, name: str, kind: str) -> None:
    for key, entry in archive(tmp_path / name, kind).items():
        wav, rate = read_audio(entry)
        assert rate == 16000 and np.abs(wav - SOUNDS[key]).max() < 1e-4 and len(wav) == len(SOUNDS[key])
        header = entry_header(entry)
        assert (header.rate_hz, header.samples, header.channels) == (16000, len(SOUNDS[key]), 1)
    reading = read_ahead([str(tmp_path / name), str(tmp_path / "missing.tar")])
    reading.join(10)
    assert not reading.is_alive()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2])
def test_training_reads_what_soundfile_reads(tmp_path: Path, subtype: str, channels: int) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, (500, channels)).astype(np.float32)
    content = io.BytesIO()
    soundfile.write(content, sound, 16000, subtype=subtype, format="WAV")
    with new_archive(tmp_path / "s.tar") as sounds:
        entry = f"{tmp_path}/s.tar:{sounds.add('u', content.getvalue(), 'wav', 'x')}"
    wav, expected = load_entry(entry), soundfile.read(io.BytesIO(content.getvalue()), dtype="float32")[0]
    assert wav.dtype == np.float32 and wav.shape == expected.shape and (wav == expected).all()


def test_a_shard_is_a_tar_as_webdataset_names_it(tmp_path: Path) -> None:
    archive(tmp_path / "s.tar")
    with tarfile.open(tmp_path / "s.tar") as tar:
        names = tar.getnames()
        assert names[:2] == ["a_0.flac", "a_0.txt"] and len(names) == 8
        assert tar.extractfile("a_1.txt").read() == b"text of a.1"
        content = tar.extractfile("a_1.flac").read()
    assert soundfile.info(io.BytesIO(content)).frames == len(SOUNDS["a.1"])


def test_an_ark_is_one_of_espnet(tmp_path: Path) -> None:
    for key, entry in archive(tmp_path / "s.ark").items():
        rate, wav = kaldi.load_mat(entry)
        assert rate == 16000 and len(wav) == len(SOUNDS[key])
    with kaldi.WriteHelper(
        f"ark,scp:{tmp_path}/e.ark,{tmp_path}/e.scp", write_function="soundfile", write_kwargs={"format": "flac"}
    ) as writer:
        writer["u"] = (16000, (SOUNDS["a.0"] * 32767).astype(np.int16))
    entry = (tmp_path / "e.scp").read_text().split()[1]
    assert np.abs(read_audio(entry)[0] - SOUNDS["a.0"]).max() < 1e-3


def test_wrong_places_are_named(tmp_path: Path) -> None:
    entry = archive(tmp_path / "s.tar")["a.2"]
    path, offset = file_of(entry)
    with pytest.raises(ValueError, match=r"no file of the tar begins there"):
        read_member(path, offset + 512)
    (tmp_path / "s.tar").write_bytes((tmp_path / "s.tar").read_bytes()[: offset + 20])
    with pytest.raises(ValueError, match="cut short"):
        read_member(path, offset)
    with pytest.raises(AudioError, match="cannot be read"):
        entry_header(entry)
    with pytest.raises(AudioError, match="no such archive"):
        entry_header(f"{tmp_path}/none.tar:512")


def test_a_failed_archive_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_archive(tmp_path / "s.tar") as sounds:
        sounds.add("a", b"x", "wav", "")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
