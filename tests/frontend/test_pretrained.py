"""Pretrained speech models as frontends: windows, weights of published models, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, WhisperFeatureExtractor

from freeze_omni.config import ConfigError
from freeze_omni.frontend.load import describe, load_weights
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.frontend.speech_model import LogMel
from tests.contract.parts.pretrained import MODELS, toy_frontend
from tests.frontend.ctranslate2 import write_ctranslate2


def published(kind: str, folder: Path) -> Path:
    """A toy model of the kind, saved as transformers saves a published one."""
    torch.manual_seed(1)
    AutoModel.from_config(AutoConfig.for_model(**MODELS[kind])).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_frames_of_a_window_are_as_many_as_its_samples_say(kind: str) -> None:
    frontend = toy_frontend(kind)
    size = frontend.left_samples + frontend.chunk_samples + frontend.delay_samples
    frames = frontend.model(0.1 * torch.randn(2, size))
    assert frames.shape == (2, size // frontend.model.frame_samples, frontend.model.output_size)


def test_features_come_after_their_lookahead() -> None:
    frontend = toy_frontend(lookahead_chunks=2, left_s=0.0)
    wav = torch.zeros(1, 6 * frontend.chunk_samples)
    wav[:, 2 * frontend.chunk_samples : 3 * frontend.chunk_samples].normal_()
    lengths = torch.tensor([wav.shape[1]])
    silent = frontend(torch.zeros_like(wav), lengths)[0]
    changed = (frontend(wav, lengths)[0] - silent).abs().amax(-1)[0].unflatten(0, (6, -1)).amax(1) > 0
    # without left context a window is its chunk and the two after it
    assert changed.tolist() == [False, False, True, True, True, False]


def test_windows_of_several_chunks_hear_more_of_what_follows() -> None:
    frontend = toy_frontend(lookahead_chunks=1, left_s=0.0)
    wav = torch.zeros(1, 8 * frontend.chunk_samples)
    lengths = torch.tensor([wav.shape[1]])
    silent = frontend(wav, lengths, chunks=4)[0]
    wav[:, 4 * frontend.chunk_samples : 5 * frontend.chunk_samples].normal_()
    changed = (frontend(wav, lengths, chunks=4)[0] - silent).abs().amax(-1)[0].unflatten(0, (8, -1)).amax(1) > 0
    # windows hold the chunks -1 to 3 and 3 to 7; the features of the last chunk of each come in the next
    assert changed.tolist() == [False] * 4 + [True] * 4


def test_log_mel_is_that_of_whispers_own_extractor() -> None:
    wav = 0.1 * torch.randn(16000)
    extractor = WhisperFeatureExtractor(chunk_length=1)
    expected = extractor(wav.numpy(), sampling_rate=16000, return_tensors="pt").input_features
    assert torch.allclose(LogMel(80)(wav[None]), expected, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_published_weights_are_read(kind: str, tmp_path: Path) -> None:
    folder = str(published(kind, tmp_path))
    frontend = PretrainedFrontend(PretrainedConfig(model=describe(folder), left_s=0.32))
    load_weights(frontend, folder)
    whole = AutoModel.from_pretrained(folder).eval()
    whole = whole.encoder if hasattr(whole, "decoder") else whole
    read = frontend.model.net.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(read[name], value), name


def test_fewer_layers_than_published(tmp_path: Path) -> None:
    folder = str(published("hubert", tmp_path))
    frontend = PretrainedFrontend(PretrainedConfig(model=describe(folder), left_s=0.32, layers=1))
    load_weights(frontend, folder)
    assert len(frontend.model.net.encoder.layers) == 1


def test_ctranslate2_file_gives_the_same_weights(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(published("whisper", tmp_path / "hf"))
    (tmp_path / "ct2").mkdir()
    write_ctranslate2({"encoder": model.encoder.state_dict()}, tmp_path / "ct2" / "model.bin")
    described = describe(str(tmp_path / "ct2"))
    assert described == {key: MODELS["whisper"][key] for key in described}
    one, other = (PretrainedFrontend(PretrainedConfig(model=described, left_s=0.32)) for _ in range(2))
    load_weights(one, str(tmp_path / "ct2"))
    load_weights(other, str(tmp_path / "hf"))
    wav = 0.1 * torch.randn(1, 3 * one.chunk_samples)
    found, expected = (part(wav, torch.tensor([wav.shape[1]]))[0] for part in (one, other))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", "no CTranslate2"), (b"\x06\0\0\0\x08\0Another\0", "another kind of model")]
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        describe(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": {}}, "model_type None is not one of"),
        ({"model": {"model_type": "llama"}}, "'llama' is not one of"),
        ({"left_s": 0.33}, "no multiple of a feature"),
        ({"left_s": 4.0}, "Whisper takes 100 at most"),
        ({"layers": 3}, "3 layers of a model that has 2"),
        ({"stack": 0}, "must be 1 or more"),
        ({"lookahead_chunks": -1}, "must be 0 or more"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        toy_frontend(**changes)
