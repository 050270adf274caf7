"""Features, encoder and adapter against recorded runs of the published ones (miniatures)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from freeze_omni.adapter.conv import ConvAdapter
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.frontend.cmvn import Cmvn
from freeze_omni.frontend.fbank import Fbank
from freeze_omni.released.listen import read_listen, read_listen_config, to_released

ROOT = Path(os.environ.get("FREEZE_OMNI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no golden recordings (FREEZE_OMNI_GOLDEN)")
TOLERANCE = 1e-4  # of the largest magnitude


class Golden(NamedTuple):
    folder: Path
    encoder: SpeechEncoder
    adapter: ConvAdapter
    recorded: dict[str, Tensor]


@pytest.fixture(params=["a", "b"])
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = ROOT / request.param / "checkpoints" / "audiollm"
    keys = ("wav16k", "fbank_chunks", "encoder_out", "adapter_out")
    with np.load(ROOT / request.param / "golden.npz") as file:
        recorded = {key: torch.from_numpy(file[key]) for key in keys}
    encoder, adapter, _ = read_listen(folder)
    return Golden(folder, encoder, adapter, recorded)


def _feats(golden: Golden) -> Tensor:
    """The recorded features as one utterance (1, 16 S, 80)."""
    return golden.recorded["fbank_chunks"][:, 3:].flatten(0, 1)[None]


def _assert_equal(found: Tensor, recorded: Tensor) -> None:
    assert found.shape == recorded.shape
    assert (found - recorded).abs().max() <= TOLERANCE * recorded.abs().max()


@torch.no_grad()
def test_features(golden: Golden) -> None:
    fbank, wav = Fbank(), golden.recorded["wav16k"][None]
    state, chunks, before = fbank.initial_state(1), [], torch.zeros(1, 3, 80)
    for chunk in wav.split(2560, dim=1):
        feats, state = fbank.step(chunk, state)
        chunks.append(torch.cat([before, feats], dim=1))
        before = feats[:, -3:]
    _assert_equal(torch.cat(chunks), golden.recorded["fbank_chunks"])
    feats, _ = fbank(wav, torch.tensor([wav.shape[1]]))
    _assert_equal(feats, _feats(golden))


@torch.no_grad()
def test_step_by_step(golden: Golden) -> None:
    encoder_state, adapter_state = golden.encoder.initial_state(1), golden.adapter.initial_state(1)
    frames, positions = [], []
    for feats in _feats(golden).split(16, dim=1):
        enc, encoder_state = golden.encoder.step(feats, encoder_state)
        output, adapter_state = golden.adapter.step(enc, adapter_state)
        frames.append(enc[0])
        positions.append(output.embeds[0])
    _assert_equal(torch.cat(frames), golden.recorded["encoder_out"])
    _assert_equal(torch.cat(positions), golden.recorded["adapter_out"])


@torch.no_grad()
def test_all_at_once(golden: Golden) -> None:
    feats = _feats(golden)
    enc, lengths = golden.encoder(feats, torch.tensor([feats.shape[1]]))
    output = golden.adapter(enc, lengths)
    _assert_equal(enc[0], golden.recorded["encoder_out"])
    _assert_equal(output.embeds[0], golden.recorded["adapter_out"])


@torch.no_grad()
def test_from_the_waveform(golden: Golden) -> None:
    wav = golden.recorded["wav16k"][None]
    feats, lengths = Fbank()(wav, torch.tensor([wav.shape[1]]))
    enc, lengths = golden.encoder(feats, lengths)
    _assert_equal(golden.adapter(enc, lengths).embeds[0], golden.recorded["adapter_out"])


def test_statistics_file(golden: Golden) -> None:
    cmvn = Cmvn.from_json(golden.folder / "global_cmvn")
    assert torch.allclose(cmvn.mean, golden.encoder.cmvn.mean)
    assert torch.allclose(cmvn.istd, golden.encoder.cmvn.istd)


def test_there_and_back(golden: Golden) -> None:
    theirs = torch.load(golden.folder / "final.pt", weights_only=True)
    ours = {
        f"{prefix}.{name}": value
        for prefix, part in (("encoder", golden.encoder), ("adapter", golden.adapter))
        for name, value in part.state_dict().items()
    }
    back = to_released(ours, read_listen_config(golden.folder / "train.yaml"))
    assert set(back) == {name for name in theirs if name.startswith(("encoder.", "adpter."))}
    assert all(torch.equal(back[name], theirs[name]) for name in back)


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        ("adpter.project.bias", None, "missing, the first is adpter.project.bias"),
        (
            None,
            "encoder.enc.1.mystery",
            "no place in the model, the first is encoder.enc.1.mystery",
        ),
    ],
)
def test_every_tensor_counts(tmp_path: Path, remove: str, add: str, message: str) -> None:
    folder = ROOT / "a" / "checkpoints" / "audiollm"
    shutil.copy(folder / "train.yaml", tmp_path)
    theirs = torch.load(folder / "final.pt", weights_only=True)
    theirs.pop(remove, None)
    torch.save(theirs | ({add: torch.zeros(1)} if add else {}), tmp_path / "final.pt")
    with pytest.raises(ValueError, match=message):
        read_listen(tmp_path)
