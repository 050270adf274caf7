"""Data directories to ESPnet's list of (file, name, type): checked before the long work starts."""

import argparse
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from espnet2.train.dataset import DATA_TYPES
from omniio import kaldi

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import AudioError, entry_header, load_entry
from freeze_omni.data.features import FEATS
from freeze_omni.data.table_file import TableFile, joined
from freeze_omni.data.tables import each_line, whole_file

FileKinds = dict[str, tuple[str, str]]
SAMPLES = "utt2num_samples"


class Texts(TableFile):
    """Value by id; may be empty. In place of ESPnet's reader, which also ends lines at a lone \\r."""

    def __init__(self, path: str | Path, need_value: bool = False):
        super().__init__(path, need_value)


class SparseText(Texts):
    """The text of a missing id is empty."""

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key) if key in self else ""


class _Entries(Mapping[str, np.ndarray]):
    """Arrays that are read on access, by what a table says of them."""

    def __init__(self, path: str | Path):
        self.table = Texts(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, key: object) -> bool:
        return key in self.table


class LazyInts(_Entries):
    """Numbers, parsed on access: speech tokens fill memory."""

    def __getitem__(self, key: str) -> np.ndarray:
        return np.array(self.table[key].split(), dtype=np.int64)


class Sounds(_Entries):
    """Samples (S,) or (S, channels) in [-1, 1] of a file, an ark or a tar shard."""

    def __getitem__(self, key: str) -> np.ndarray:
        return load_entry(self.table[key])


class Feats(_Entries):
    """Features (F, D) of a Kaldi archive."""

    def __getitem__(self, key: str) -> np.ndarray:
        return kaldi.load_mat(self.table[key])


# ESPnet takes the first type whose name the wanted one starts with, hence not "text_…".
for _name, _read, _help in (
    ("text", Texts, "text"),
    ("sparse_text", SparseText, "text, empty if an id is missing"),
    ("lazy_ints", LazyInts, "integers"),
    ("sound", Sounds, "sound files, or places in archives"),
    ("kaldi_ark", Feats, "features"),
):
    DATA_TYPES[_name] = {"func": _read, "kwargs": [], "help": _help}


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
        rate = entry_header(wav).rate_hz
    except AudioError as error:
        raise ConfigError(f"{path}:1: {wav}: cannot be read as audio ({error})") from None
    if rate != sample_hz:
        raise ConfigError(f"{path}:1: {wav} has {rate} Hz, not {sample_hz}: resample it (stage 2)")


def _write_lengths(target: Path, listed: list[tuple[str, str, str]]) -> str:
    """`id length` of the ids that all files have: samples of the sound, or tokens."""
    tables = {path: Texts(path) for path, name, kind in listed if "sparse" not in kind}
    measured, of_sound = next(
        ((path, kind != "lazy_ints") for path, _, kind in listed if kind in ("sound", "kaldi_ark")),
        next(((path, False) for path, _, kind in listed if kind == "lazy_ints"), ("", False)),
    )
    counts = Path(measured).parent / SAMPLES
    column = list(tables).index(measured)
    known = Texts(counts) if of_sound and counts.exists() else None

    def lines() -> Iterator[str]:
        for uid, values, count in joined(list(tables.values()), known):
            if of_sound:
                length = int(count) if count is not None else entry_header(values[column]).samples
            else:
                length = len(values[column].split())
            yield f"{uid} {length}\n"

    found = 0
    with whole_file(target) as partial, open(partial, "w", encoding="utf-8") as stream:
        for line in lines():  # every process of a distributed training writes the same file
            stream.write(line)
            found += 1
        if not found:
            raise ConfigError(f"{listed[0][0]}: no id is also in {', '.join(p for p, _, _ in listed)}")
    if found < (largest := max(map(len, tables.values()))):
        logging.warning(f"{target.name}: {largest - found} ids are not in all files: left out")
    return str(target)
