"""Files of the published codec's layout that cannot be read, and codecs that cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from freeze_omni.codec import Codec, CodecConfig
from freeze_omni.config import build
from freeze_omni.released.codec import model_json, read_codec, to_released
from tests.contract.parts.codec import TIME_DOMAIN, toy_codec


def toy_published() -> Codec:
    """The toy time-domain codec with the published sizes that are fixed: a voice of 128 numbers."""
    sizes = {"global_code": {"dim": 128, "tokens": 4, "codebook_size": 16}}
    time_domain = TIME_DOMAIN["time_domain"] | {"channels": 256}
    return Codec(build(CodecConfig, TIME_DOMAIN | sizes | {"time_domain": time_domain})).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    codec = toy_published()
    voice = torch.tensor([[1, 2, 3, 0]])
    (tmp_path / "model.json").write_text(json.dumps(model_json(codec, voice)))
    torch.save(to_released(codec), tmp_path / "final.pt")
    return tmp_path


def test_written_and_read_again(folder: Path) -> None:
    codec, voice, left_out = read_codec(folder)
    assert voice.tolist() == [[1, 2, 3, 0]]
    assert sorted(left_out) == ["encoder.linear.0.bias", "encoder.linear.0.weight"]
    again = to_released(codec)
    stored = torch.load(folder / "final.pt", weights_only=True)
    for group, tensors in stored.items():
        assert all(torch.equal(again[group][name], tensor) for name, tensor in tensors.items())


def edit(folder: Path, change) -> None:
    groups = torch.load(folder / "final.pt", weights_only=True)
    change(groups)
    torch.save(groups, folder / "final.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["generator"].pop("conv_pre.bias"), "1 tensors are missing, the first is decoder.conv_pre.bias"),
        (
            lambda g: g["generator"].update(extra=torch.zeros(1)),
            "1 tensors have no place in the model, the first is decoder.extra",
        ),
        (lambda g: g["encoder"].update({"conv_post.bias": torch.zeros(3)}), "has the shape"),
        (lambda g: g.pop("quantizer"), "expected the state dicts"),
    ],
)
def test_foreign_tensors_are_named(folder: Path, change, message: str) -> None:
    edit(folder, change)
    with pytest.raises(ValueError, match=message):
        read_codec(folder)


def test_model_json_without_a_key(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())
    del model["upsample_rates"]
    (folder / "model.json").write_text(json.dumps(model))
    with pytest.raises(ValueError, match=r"model.json: .*upsample_rates"):
        read_codec(folder)


def test_a_spectral_codec_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="time_domain"):
        to_released(toy_codec("spectral"))
