"""Whole, cut, empty and foreign audio files."""

import numpy as np
import pytest
import soundfile

from freeze_omni.data.audio import AudioError, AudioHeader, read_header


@pytest.fixture
def stereo():
    return 0.1 * np.random.default_rng(0).standard_normal((1000, 2))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", {}),
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"format": "WAVEX"}),
        ("flac", {}),
        ("ogg", {}),
        ("sph", {"format": "NIST"}),
    ],
)
def test_whole_files(tmp_path, stereo, suffix, options):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, stereo, 8000, **options)
    assert read_header(path) == AudioHeader(8000, 1000, 2)


@pytest.mark.parametrize(
    ("keep", "reason"),
    [(0, "0 bytes"), (10, "cannot be read"), (30, "truncated"), (50, "truncated"), (4043, "4000")],
)
def test_cut_wav(tmp_path, stereo, keep, reason):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo, 16000)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AudioError, match=reason):
        read_header(path)


def test_cut_flac(tmp_path, stereo):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.tile(stereo, (20, 1)), 16000)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(AudioError):
        read_header(path)


def test_no_samples_no_file_no_audio(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    (tmp_path / "text.wav").write_text("this is no audio at all")
    for name, reason in {
        "empty.wav": "has no samples",
        "none.wav": "there is no such audio file",
        "text.wav": "cannot be read",
    }.items():
        with pytest.raises(AudioError, match=reason):
            read_header(tmp_path / name)


def test_wav_written_by_a_stream_has_its_real_length(tmp_path, stereo):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo, 16000)
    whole = path.read_bytes()
    at = whole.index(b"data") + 4
    path.write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
    assert read_header(path).samples == 1000
