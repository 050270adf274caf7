"""Data directories to ESPnet's list of (file, name, type): checked before the long work starts."""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile
from espnet2.fileio.read_text import read_2columns_text
from espnet2.train.dataset import DATA_TYPES

from freeze_omni.config import ConfigError

FileKinds = dict[str, tuple[str, str]]


class SparseText(dict):
    """A text file in which an id may be missing: its text is empty then."""

    def __missing__(self, key: str) -> str:
        return ""


def read_sparse_text(path: str) -> SparseText:
    return SparseText(read_2columns_text(path))


# ESPnet takes the first type whose name the wanted one begins with, hence not "text_…".
DATA_TYPES["sparse_text"] = {
    "func": read_sparse_text,
    "kwargs": [],
    "help": "text, empty where an id is missing",
}


def add_data_dirs(
    args: argparse.Namespace, files: FileKinds, optional: tuple[str, ...], sample_hz: int
) -> None:
    """Fill `*_data_path_and_name_and_type` and `*_shape_file` from --train_dir and --valid_dir.

    Raises:
        ConfigError: a file is missing or empty, or its audio has another rate.
    """
    for role in ("train", "valid"):
        folders = [Path(folder) for folder in getattr(args, f"{role}_dir")]
        if not folders:
            continue
        listed, shapes = (
            getattr(args, f"{role}_data_path_and_name_and_type"),
            getattr(args, f"{role}_shape_file"),
        )
        for name, (file_name, kind) in files.items():
            path = _first_with(folders, file_name)
            if path is None and name not in optional:
                raise ConfigError(
                    f"{folders[0]}: no {file_name}; run the stage that makes it, mend --{role}_dir"
                )
            if path is not None:
                _check(path, kind, sample_hz)
                listed.append((str(path), name, kind))
        if not shapes:
            shape = _first_with(folders, "utt2num_samples") or Path(listed[0][0])
            shapes.append(str(shape))
    if not args.train_data_path_and_name_and_type or not args.valid_data_path_and_name_and_type:
        raise ConfigError("no training or validation data: give --train_dir and --valid_dir")


def _first_with(folders: list[Path], file_name: str) -> Path | None:
    return next((folder / file_name for folder in folders if (folder / file_name).exists()), None)


def _check(path: Path, kind: str, sample_hz: int) -> None:
    with path.open(encoding="utf-8") as stream:
        first = stream.readline().split(maxsplit=1)
    if not first:
        raise ConfigError(f"{path}: empty; run the stage that makes it again")
    if kind != "sound":
        return
    if len(first) < 2:
        raise ConfigError(f"{path}:1: expected `id path`")
    wav = first[1].strip()
    try:
        rate = soundfile.info(wav).samplerate
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"{path}:1: {wav}: cannot be read as audio ({error})") from None
    if rate != sample_hz:
        raise ConfigError(f"{path}:1: {wav} has {rate} Hz, not {sample_hz}: resample it (stage 2)")
