"""Files that are broken, foreign or hostile: one clear error, no code run, no memory taken."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from freeze_omni.bin import check_golden, import_released
from freeze_omni.released.checkpoint import read_released
from freeze_omni.released.files import ReleasedError, read_checkpoint
from tests.released.make import Sizes, write_checkpoint

FILES = ("audiollm/final.pt", "decoder/final.pt", "codec/final.pt")


class Hostile:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path / "checkpoints", Sizes(blocks=1, dec_layers=1))


@pytest.mark.parametrize("file", FILES)
def test_code_in_a_pickle_is_not_run(file, folder, tmp_path, capsys):
    torch.save({"weight": torch.zeros(1), "more": Hostile(tmp_path / "run")}, folder / file)
    with pytest.raises(SystemExit) as ended:
        import_released.main([f"--checkpoint={folder}", "--llm=none", f"--output={tmp_path / 'pack'}"])
    assert file in str(ended.value) and "refused" in str(ended.value) and "\n" not in str(ended.value)
    (folder / file).write_bytes(pickle.dumps(Hostile(tmp_path / "run")))
    with pytest.raises(ReleasedError, match=file):
        read_released(folder)
    assert not (tmp_path / "run").exists() and not (tmp_path / "pack").exists()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file(file, share, folder):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ReleasedError, match=rf"{file}: truncated"):
        read_released(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_foreign_file(file, folder):
    for write in (
        lambda path: path.write_text("no checkpoint"),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"epoch": 3}, path),
        lambda path: torch.save(torch.zeros(3), path),
        _other_zip,
    ):
        write(folder / file)
        with pytest.raises(ReleasedError, match=file):
            read_released(folder)
    (folder / file).unlink()
    with pytest.raises(ReleasedError, match="no such file"):
        read_released(folder)


def _other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no checkpoint")


def test_a_tensor_that_claims_more_than_the_file_holds(folder):
    """A view that repeats one number costs nothing in the file, and terabytes when it is copied."""
    path = folder / "audiollm" / "final.pt"
    tensors = torch.load(path, weights_only=True)
    name = "encoder.enc.1.after_norm.weight"
    for shape in ((20,), (1 << 42,)):
        torch.save(tensors | {name: torch.zeros(1).expand(shape)}, path)
        with pytest.raises(ReleasedError, match=f"{name} claims more values"):
            read_released(folder)


@pytest.mark.parametrize("kind", ["lost", "added", "shape"])
@pytest.mark.parametrize("file", FILES)
def test_every_tensor_has_its_place_and_size(file, kind, folder):
    content = torch.load(folder / file, weights_only=True)
    tensors = content["generator"] if "codec" in file else content
    name = next(key for key in tensors if key.endswith("bias"))
    if kind == "lost":
        del tensors[name]
    elif kind == "added":
        tensors[f"encoder.{name}.more"] = torch.zeros(1)
    else:
        tensors[name] = torch.zeros(len(tensors[name]) + 1)
    torch.save(content, folder / file)
    with pytest.raises(ReleasedError, match=rf"{file}: .*(missing|no place|unknown|has the shape)"):
        read_released(folder)


def test_half_precision_becomes_float32(folder):
    for file in FILES[:2]:
        content = torch.load(folder / file, weights_only=True)
        torch.save({key: v.half() if v.is_floating_point() else v for key, v in content.items()}, folder / file)
    state = read_released(folder).state
    assert {t.dtype for name, t in state.items() if t.is_floating_point()} == {torch.float32}


def test_no_folder(tmp_path):
    with pytest.raises(ReleasedError, match="no such folder"):
        read_released(tmp_path / "none")
    with pytest.raises(ReleasedError, match="no such file"):
        read_checkpoint(tmp_path / "none.pt")


def test_a_recording_that_is_none(tmp_path):
    path = tmp_path / "golden.npz"
    for content in (b"", b"PK\x03\x04 broken", b"numbers"):
        path.write_bytes(content)
        with pytest.raises(SystemExit, match="check-golden: error: .*golden.npz"):
            check_golden.main(["--model=none", f"--golden={path}"])
