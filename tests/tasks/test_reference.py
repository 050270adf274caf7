"""Stage 1.3 with a state head that reads what the system plays."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

from freeze_omni.data.tables import read_table
from freeze_omni.dialogues.reference import write_reference
from freeze_omni.duplex.reference import SIZE, EchoReference
from tests.tasks.conftest import Toy

READS = {"prompt": 5, "state_head": {"reference": True}}


@pytest.fixture
def talking(toy: Toy, tmp_path: Path) -> Toy:
    """The toy corpus, in whose second turn the system speaks; stages as in `toy`."""
    data = tmp_path / "data"
    shutil.copytree(toy.folder / "data", data)
    for name in ("llm", "units"):
        (tmp_path / name).symlink_to(toy.folder / name)
    write_reference(data, {"utt1": data / "utt3.wav"})  # longer than utt1
    return dataclasses.replace(toy, folder=tmp_path)


def test_each_chunk_has_what_the_system_plays(talking: Toy) -> None:
    model, args = talking.build("1.3", model=READS)
    batch = talking.batch("1.3", args)
    assert batch["reference_lengths"].tolist() == batch["states_lengths"].tolist()
    assert batch["reference"][1, :7].any() and not batch["reference"][[0, 2, 3]].any()
    read = []
    model.state_head.register_forward_hook(lambda _, given, out: read.append(given[1]))
    model.eval()(**batch)
    heard, played = (
        torch.from_numpy(soundfile.read(talking.folder / f"data/{name}.wav", dtype="float32")[0][: 7 * 2560])[None]
        for name in ("utt1", "utt3")
    )
    assert torch.allclose(read[0][1, :7, -SIZE:], EchoReference(2560)(heard, played)[0], atol=1e-5)
    loss, _, _ = model.train()(**batch)
    loss.backward()
    assert model.state_head.output.weight.grad[:, -SIZE:].any()


def test_where_the_system_never_speaks_the_head_makes_nothing_of_it(toy: Toy, caplog) -> None:
    model, args = toy.build("1.3", model=READS)
    batch = toy.batch("1.3", args)
    assert "no reference.scp" in caplog.text and "reference" not in batch
    loss, _, _ = model.train()(**batch)
    loss.backward()
    assert not model.state_head.output.weight.grad[:, -SIZE:].any()
    assert not model.state_head.output.weight[:, -SIZE:].any()


def test_a_set_in_which_the_system_is_silent_has_none(talking: Toy) -> None:
    data = talking.folder / "data"
    assert set(read_table(data / "reference.scp")) == set(read_table(data / "wav.scp"))
    write_reference(data, {})
    assert not list(data.glob("reference.*"))
