from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni.data.audio import (
    AudioError,
    change_speed,
    read_audio,
    resample,
    trim_silence,
    write_wav,
)
from tests.data.conftest import tone


def test_written_audio_comes_back(tmp_path: Path) -> None:
    wav = tone(0.1)
    write_wav(tmp_path / "a.wav", wav, 16000)
    read, hz = read_audio(str(tmp_path / "a.wav"))
    assert hz == 16000 and np.abs(read - wav).max() < 1e-4


def test_many_channels_become_one_and_the_rate_is_changed(tmp_path: Path) -> None:
    stereo = np.stack([tone(0.5, 48000), np.zeros(24000, np.float32)], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, 48000)
    read, hz = read_audio(str(tmp_path / "s.wav"), 16000)
    assert hz == 16000 and read.shape == (8000,)
    assert np.abs(read).max() == pytest.approx(0.15, abs=0.02)


def test_a_pipe_and_an_ark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, tone(0.1), 16000)
    (tmp_path / "x.ark").write_bytes(b"key " + path.read_bytes())
    expected = read_audio(str(path))[0]
    assert np.array_equal(read_audio(f"cat {path} |")[0], expected)
    assert np.array_equal(read_audio(f"{tmp_path}/x.ark:4")[0], expected)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("missing.wav", "no such file"),
        ("false |", "command failed"),
        ("{tmp}/empty.wav", "no samples"),
        ("{tmp}/garbage.wav", "cannot be read as audio"),
    ],
)
def test_bad_audio_is_named(tmp_path: Path, entry: str, message: str) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16000)
    (tmp_path / "garbage.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(AudioError, match=message):
        read_audio(entry.format(tmp=tmp_path))


@pytest.mark.parametrize(("peak", "fine"), [(0.5, True), (1.3, True), (3.0, False), (20000.0, False)])
def test_floats_far_beyond_full_scale_are_told(tmp_path: Path, peak: float, fine: bool) -> None:
    soundfile.write(tmp_path / "f.wav", tone(0.1, amplitude=peak), 16000, subtype="FLOAT")
    if fine:
        assert np.abs(read_audio(tmp_path / "f.wav")[0]).max() == pytest.approx(peak, rel=0.01)
    else:
        with pytest.raises(AudioError, match=r"f.wav: samples up to \d+.*beyond full scale.*; divide them"):
            read_audio(tmp_path / "f.wav")


def test_samples_have_to_be_numbers(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "f.wav", np.array([0.1, value, 0.2], np.float32), 16000, subtype="FLOAT")
        with pytest.raises(AudioError, match="not finite"):
            read_audio(tmp_path / "f.wav")


def test_a_path_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "false |"
    write_wav(path, tone(0.1), 16000)
    assert len(read_audio(path)[0]) == 1600


def test_resampling_keeps_a_tone_and_speed_raises_it() -> None:
    wav = tone(1.0, 24000)
    down = resample(wav, 24000, 16000)
    assert len(down) == 16000
    assert np.argmax(np.abs(np.fft.rfft(down))) == 220
    fast = change_speed(tone(1.0), 1.25, 16000)
    assert len(fast) == 12800
    peak_hz = np.argmax(np.abs(np.fft.rfft(fast))) * 16000 / len(fast)
    assert peak_hz == pytest.approx(275, abs=2)


def test_silence_is_cut_at_both_ends() -> None:
    wav = np.concatenate([np.zeros(8000), tone(0.5), np.zeros(4000)]).astype(np.float32)
    assert len(trim_silence(wav, 16000, keep_s=0.05)) == pytest.approx(8000 + 1600, abs=200)
    silent = np.zeros(1600, np.float32)
    assert len(trim_silence(silent, 16000)) == 1600
