"""Whole, cut, empty and foreign audio files."""

import struct

import numpy as np
import pytest
import soundfile

from freeze_omni.data.audio import AudioError, AudioHeader, read_audio, read_header


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


CODED = [
    *[("WAV", coding) for coding in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_32", "ULAW", "ALAW")],
    *[("WAV", coding) for coding in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("W64", "IMA_ADPCM"), ("AIFF", "IMA_ADPCM"), ("CAF", "ALAC_16"), ("AU", "G721_32"), ("MP3", "MPEG_LAYER_III")],
]


@pytest.mark.parametrize(("form", "coding"), CODED)
def test_coded_audio_has_the_samples_that_are_read(tmp_path, form, coding):
    soundfile.write(tmp_path / "x", 0.1 * np.sin(np.arange(48000) / 9), 16000, format=form, subtype=coding)
    header = read_header(tmp_path / "x")
    assert 48000 <= header.samples < 49000  # the last block is filled up
    assert len(read_audio(tmp_path / "x")[0]) == header.samples
    assert header.bounded == (coding not in ("FLOAT", "DOUBLE", "MPEG_LAYER_III"))


@pytest.mark.parametrize(
    "length", [0xFFFFFFFF, 0xFFFFFFDB, 0xFFFFFFFF - 44, 0x7FFFFFFF, 0x7FFFFFDB, 0x80000000, 0x7FFFF000, 0x7FFFFF00]
)
def test_wav_written_into_a_pipe_has_its_real_length(tmp_path, stereo, length):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo, 16000)
    whole = path.read_bytes()
    at = whole.index(b"data") + 4
    path.write_bytes(whole[:at] + struct.pack("<I", length) + whole[at + 4 :])
    assert read_header(path).samples == len(read_audio(path)[0]) == len(read_audio(f"cat {path} |")[0]) == 1000


def test_a_header_that_says_too_little_is_told(tmp_path, stereo):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo, 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes(4) + whole[44:])
    with pytest.raises(AudioError, match="never closed"):
        read_header(path)
    soundfile.write(tmp_path / "x.flac", stereo, 16000)
    flac = bytearray((tmp_path / "x.flac").read_bytes())
    flac[21:26] = [flac[21] & 0xF0, 0, 0, 0, 0]  # as an encoder leaves it that writes into a pipe
    (tmp_path / "x.flac").write_bytes(flac)
    with pytest.raises(AudioError, match="does not say how long"):
        read_header(tmp_path / "x.flac")


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST"])
def test_a_cut_file_is_told(tmp_path, stereo, form):
    soundfile.write(tmp_path / "x", stereo, 16000, format=form, subtype="PCM_16")
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(content[:-400])
    with pytest.raises(AudioError, match="truncated"):
        read_header(tmp_path / "x")
    with pytest.raises(AudioError, match="truncated"):
        read_audio(tmp_path / "x")
    (tmp_path / "x").write_bytes(content)
    assert read_header(tmp_path / "x").samples == 1000
    with pytest.raises(AudioError, match="truncated"):
        read_audio(f"head -c -400 {tmp_path}/x |")


def test_audio_after_large_chunks_is_measured(tmp_path, stereo):
    path = tmp_path / "x.wav"
    soundfile.write(path, stereo, 16000)
    whole = path.read_bytes()
    picture = whole[:12] + b"id3 " + struct.pack("<I", 9001) + bytes(9002) + whole[12:]
    path.write_bytes(picture)
    assert read_header(path).samples == 1000
    path.write_bytes(picture[:-400])
    with pytest.raises(AudioError, match="truncated"):
        read_header(path)


def test_what_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(100))
    for path, reason in (
        (tmp_path, "cannot be opened"),
        (tmp_path / "x.raw", "cannot be read as audio"),
        (tmp_path / ("x" * 300), "cannot be opened: File name too long"),
        (tmp_path / "x.raw" / "y", "no such audio file"),
    ):
        with pytest.raises(AudioError, match=reason):
            read_header(path)
