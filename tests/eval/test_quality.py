"""DNSMOS and speaker similarity: the arithmetic on toys, and the real weights' figures where the cache has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import write_table
from freeze_omni.eval import quality
from freeze_omni.eval.config import ScoreConfig
from freeze_omni.eval.dnsmos import SCALES, Dnsmos, windows
from freeze_omni.eval.quality import DNSMOS, SPEAKER_ENCODER, likeness, score_quality, weights_folder
from freeze_omni.eval.voiceprint import SpeakerEncoder, mel_windows

HZ = 16000
# What the packages speechmos 0.0.1.1 (of `hum(11.5)`) and Resemblyzer 0.1.4 (of `hum(3)`) say by their own code.
PUBLISHED_MOS = {"overall": 2.59217, "signal": 3.20258, "background": 3.44142, "p808": 2.41128}
PUBLISHED_PRINT = [0.0854, 0.02806, 0.0, 0.0, 0.0, 0.0195]
PUBLISHED_SUM = 9.20853


def hum(seconds: float, pitch_hz: float = 140.0) -> np.ndarray:
    """A buzzing tone that swells and falls: nearly a voice, and the same on every machine."""
    time = np.arange(int(seconds * HZ)) / HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))) / HZ
    wave = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (0.1 * wave * (0.5 + 0.5 * np.sin(2 * np.pi * 2.5 * time))).astype(np.float32)


@pytest.fixture
def encoder_folder(tmp_path):
    """Weights of a small encoder, as they are published."""
    torch.manual_seed(3)
    toy = SpeakerEncoder(hidden=8, layers=2, size=6)
    torch.nn.init.uniform_(toy.linear.bias, 0.1, 0.5)
    folder = tmp_path / "weights"
    folder.mkdir()
    extra = {"similarity_weight": torch.ones(1)}
    torch.save({"step": 1, "model_state": toy.state_dict() | extra}, folder / "pretrained.pt")
    return folder


@pytest.fixture
def decoded(tmp_path):
    """Folders of clips: originals, copies, streamed answers."""
    folders = {}
    for name, pitch_hz in (("original", 140), ("copy", 150), ("streamed", 220)):
        folders[name] = tmp_path / name
        wavs = {key: tmp_path / name / f"{key}.wav" for key in ("a", "b")}
        for number, path in enumerate(wavs.values()):
            write_wav(path, hum(0.6, pitch_hz + 20 * number), HZ)
        write_table(folders[name] / "wav.scp", wavs)
    return folders


def test_windows_are_nine_seconds_and_short_clips_are_repeated():
    (short,) = windows(hum(3))
    assert len(short) == 144160 and np.array_equal(short[:48000], short[48000:96000])
    assert [len(window) for window in windows(hum(11.5))] == [144160] * 2
    assert not np.concatenate(windows(np.zeros(0, np.float32))).any()
    assert np.abs(windows(9 * hum(3))[0]).max() == 1


def test_a_voiceprint_has_length_one_and_silence_has_none(encoder_folder):
    encoder = SpeakerEncoder.load(encoder_folder)
    assert encoder.lstm.hidden_size == 8 and encoder.lstm.num_layers == 2
    print_ = encoder.embed(hum(2.5))
    assert print_.shape == (6,) and np.linalg.norm(print_) == pytest.approx(1, abs=1e-5)
    assert np.allclose(print_, encoder.embed(np.pad(hum(2.5), 9000)), atol=0.05), "silence around it counts for little"
    assert np.isfinite(encoder.embed(np.zeros(400, np.float32))).all()
    assert mel_windows(hum(4)).shape == (4, 160, 40) and mel_windows(hum(0.3)).shape == (1, 160, 40)


def test_a_file_that_is_no_encoder_is_told(tmp_path):
    with pytest.raises(ConfigError, match="get_speaker_encoder.sh"):
        SpeakerEncoder.load(tmp_path)
    (tmp_path / "pretrained.pt").write_bytes(b"hello")
    with pytest.raises(ConfigError, match="pretrained.pt: no weights"):
        SpeakerEncoder.load(tmp_path)


def test_copies_are_compared_with_their_own_original_and_speech_with_their_mean():
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    originals = {"a": east, "b": north}
    assert likeness("copy", {"a": east, "b": east}, originals) == [1.0, 0.0]
    assert likeness("streamed", {"q": east}, originals) == pytest.approx([np.sqrt(0.5)])
    assert likeness("original", originals, originals) == [0.0, 0.0], "an original is not compared with itself"


class ToyDnsmos:
    name, made = "dnsmos", 0

    def __init__(self, *_):
        ToyDnsmos.made += 1

    def measure(self, wav):
        return dict.fromkeys(SCALES, float(len(wav) > 0) + 2)


def test_every_folder_is_measured_once(decoded, encoder_folder, monkeypatch):
    (encoder_folder / DNSMOS[2]).touch()
    for _, variable, _ in (DNSMOS, SPEAKER_ENCODER):
        monkeypatch.setenv(variable, str(encoder_folder))
    monkeypatch.setattr(quality, "Dnsmos", ToyDnsmos)
    ToyDnsmos.made = 0
    config = ScoreConfig(dnsmos=True, speaker_similarity=True)
    found = score_quality(decoded, config)
    assert found["missing"] == [] and set(found["rows"]) == set(decoded)
    row = found["rows"]["copy"]
    assert row["overall"] == {"mean": 3.0, "low": 3.0, "high": 3.0, "clips": 2}
    assert 0 < row["similarity"]["mean"] <= 1.0001 and row["similarity"]["clips"] == 2
    assert ToyDnsmos.made == len(decoded)
    assert score_quality(decoded, config) == found and ToyDnsmos.made == len(decoded), "kept with the clips"


def test_weights_that_are_not_there_are_said_and_nothing_fails(decoded, tmp_path, monkeypatch):
    for _, variable, _ in (DNSMOS, SPEAKER_ENCODER):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("FREEZE_OMNI_CACHE", str(tmp_path / "empty"))
    found = score_quality(decoded, ScoreConfig(dnsmos=True, speaker_similarity=True))
    assert found["rows"] == {}
    assert ["get_dnsmos.sh" in text or "get_speaker_encoder.sh" in text for text in found["missing"]] == [True, True]


def test_dnsmos_is_that_of_its_package():
    folder = weights_folder(DNSMOS)
    if folder is None:
        pytest.skip("no DNSMOS weights in the cache (tools/installers/get_dnsmos.sh)")
    assert Dnsmos(folder).measure(hum(11.5)) == pytest.approx(PUBLISHED_MOS, abs=2e-3)


def test_the_voiceprint_is_that_of_its_package():
    folder = weights_folder(SPEAKER_ENCODER)
    if folder is None:
        pytest.skip("no speaker encoder in the cache (tools/installers/get_speaker_encoder.sh)")
    encoder = SpeakerEncoder.load(folder)
    with torch.no_grad():
        mean = encoder(torch.from_numpy(mel_windows(hum(3)))).mean(0)
    found = torch.nn.functional.normalize(mean, dim=0).numpy()
    assert found[:6] == pytest.approx(PUBLISHED_PRINT, abs=1e-4)
    assert found.sum() == pytest.approx(PUBLISHED_SUM, abs=1e-3)
    own = encoder.embed(hum(3))
    assert own @ encoder.embed(hum(2, 145)) > own @ encoder.embed(hum(3, 260))
