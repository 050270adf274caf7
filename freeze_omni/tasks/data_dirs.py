"""Data directories to ESPnet's list of (file, name, type): checked before the long work starts."""

import argparse
import logging
import os
from pathlib import Path

import numpy as np
import soundfile
from espnet2.train.dataset import DATA_TYPES

from freeze_omni.config import ConfigError
from freeze_omni.data.features import FEATS
from freeze_omni.data.tables import each_line, read_table

FileKinds = dict[str, tuple[str, str]]
SAMPLES = "utt2num_samples"


class SparseText(dict):
    """The text of a missing id is empty."""

    def __missing__(self, key: str) -> str:
        return ""


class LazyInts(dict):
    """Numbers, parsed on access: speech tokens fill memory."""

    def __getitem__(self, key: str) -> np.ndarray:
        return np.array(super().__getitem__(key).split(), dtype=np.int64)


# ESPnet takes the first type whose name the wanted one starts with, hence not "text_…".
_SPARSE = {"func": lambda path: SparseText(read_texts(path)), "kwargs": []}
_INTS = {"func": lambda path: LazyInts(read_texts(path)), "kwargs": []}
DATA_TYPES["text"] = {"func": lambda path: read_texts(path), "kwargs": [], "help": "text"}
DATA_TYPES["sparse_text"] = _SPARSE | {"help": "text, empty if an id is missing"}
DATA_TYPES["lazy_ints"] = _INTS | {"help": "integers"}


def read_texts(path: str | Path) -> dict[str, str]:
    """Value by id; may be empty. In place of ESPnet's reader, which also ends lines at a lone \\r."""
    return read_table(path, need_value=False)


def add_data_dirs(args: argparse.Namespace, files: FileKinds, optional: tuple[str, ...], sample_hz: int) -> None:
    """Fill `*_data_path_and_name_and_type` and `*_shape_file` from --train_dir and --valid_dir.

    A folder with feats.scp (dump_feats) gives `feats` in place of sound. The ids that all files have are used; their
    lengths are written to the output folder for ESPnet's batch samplers.
    Raises ConfigError: a file is missing or empty, no id is in all of them, or audio has another rate.
    """
    for role in ("train", "valid"):
        folders = [Path(folder) for folder in getattr(args, f"{role}_dir")]
        if not folders:
            continue
        listed = getattr(args, f"{role}_data_path_and_name_and_type")
        for name, (file_name, kind) in _files_of(folders[0], files):
            path = next((folder / file_name for folder in folders if (folder / file_name).exists()), None)
            if path is not None:
                _check(path, kind, sample_hz)
                listed.append((str(path), name, kind))
            elif name not in optional:
                raise ConfigError(f"{folders[0]}: no {file_name}; run the stage that makes it or fix --{role}_dir")
        shapes = getattr(args, f"{role}_shape_file")
        if not shapes:
            shapes.append(_write_lengths(Path(args.output_dir) / f"{role}_lengths", listed))
    if not args.train_data_path_and_name_and_type or not args.valid_data_path_and_name_and_type:
        raise ConfigError("no training or validation data: give --train_dir and --valid_dir")


def _files_of(folder: Path, files: FileKinds) -> list[tuple[str, tuple[str, str]]]:
    if not (folder / FEATS).exists():
        return list(files.items())
    feats = ("feats", (FEATS, "kaldi_ark"))
    return [feats if kind == "sound" else (name, (file, kind)) for name, (file, kind) in files.items()]


def _check(path: Path, kind: str, sample_hz: int) -> None:
    first = next(each_line(path), "").split(maxsplit=1)
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


def _write_lengths(target: Path, listed: list[tuple[str, str, str]]) -> str:
    """`id length` of the ids that all files have: samples of the sound, or tokens."""
    tables = {name: read_texts(path) for path, name, kind in listed if "sparse" not in kind}
    ids = set.intersection(*map(set, tables.values()))
    largest = max(map(len, tables.values()))
    if not ids:
        raise ConfigError(f"{listed[0][0]}: no id is also in {', '.join(p for p, _, _ in listed)}")
    if len(ids) < largest:
        logging.warning(f"{target.name}: {largest - len(ids)} ids are not in all files: left out")
    lengths = _lengths(listed, tables, ids)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")
    part.write_text("".join(f"{uid} {lengths[uid]}\n" for uid in sorted(ids)), encoding="utf-8")
    part.replace(target)  # every process of a distributed training writes the same file
    return str(target)


def _lengths(listed: list[tuple[str, str, str]], tables: dict[str, dict[str, str]], ids: set[str]) -> dict[str, int]:
    for path, name, kind in listed:
        if kind in ("sound", "kaldi_ark"):
            known = Path(path).parent / SAMPLES
            counted = read_texts(known) if known.exists() else {}
            files = tables[name]
            return {uid: int(counted[uid]) if uid in counted else soundfile.info(files[uid]).frames for uid in ids}
    name = next(name for _, name, kind in listed if kind == "lazy_ints")
    return {uid: len(tables[name][uid].split()) for uid in ids}
