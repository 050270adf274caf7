"""What work was made from: fingerprints of files and folders by content. A copy, or a new time, changes nothing."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from freeze_omni.data.archives import file_of
from freeze_omni.data.tables import whole_file

LARGE_BYTES = 256_000_000  # a larger file counts by its size and its time
LARGE_FOLDER_BYTES = 20_000_000_000  # in a larger folder all files do, but not the tables of a data directory
_NOT_COUNTED = ("log", "__pycache__")
_ADDED = re.compile(r"said(\.\d+)?")
"""What a later stage writes into a folder of features: work that reads it names it as an input of its own."""


def fingerprint(path: str | Path, seen: Path | None = None) -> str:
    """32 digits of a file or folder, or "missing". seen: folder of fingerprints that still hold if no file was touched.

    A data directory, with a wav.scp, counts with its tables and with the sounds that they name; another folder with all
    its files. Logs, hidden files and compiled Python do not count.
    """
    path = Path(path)
    files = dict(_files(path))
    if not files:
        return "empty" if path.is_dir() else "missing"
    stats = {name: os.stat(file) for name, file in files.items()}
    touched = _digest(f"{name}\0{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for name, s in stats.items())
    kept = seen and seen / _digest([os.path.abspath(path)])
    if kept and kept.exists():
        known, _, found = kept.read_text(encoding="utf-8").strip().partition(" ")
        if known == touched:
            return found
    found = _digest(f"{name}\0{one}" for name, one in _contents(files, stats))
    if kept:
        with whole_file(kept) as partial:
            partial.write_text(f"{touched} {found}\n", encoding="utf-8")
    return found


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """What counts, by its name: of a data directory its tables and the sounds that they name, else all files."""
    if path.is_file():
        yield "", path
    elif (path / "wav.scp").is_file():
        tables = [one for one in sorted(path.iterdir()) if one.is_file() and _counts(one.name)]
        yield from ((one.name, one) for one in tables)
        for entry in sorted(_sounds(one for one in tables if one.suffix == ".scp")):
            if os.path.isfile(entry):  # not a pipe
                yield f"\0{entry}", Path(entry)
    elif path.is_dir():
        places = set()
        for root, folders, names in os.walk(path, followlinks=True):
            folders[:] = sorted(name for name in folders if _counts(name))
            if (place := os.path.realpath(root)) in places:  # a link into a folder around it
                folders.clear()
                continue
            places.add(place)
            files = (Path(root, name) for name in sorted(names) if _counts(name))
            yield from ((str(file.relative_to(path)), file) for file in files if file.is_file())


def _sounds(tables: Iterable[Path]) -> set[str]:
    """Files that tables name; an archive once, however many sounds are in it."""
    found = set()
    for table in tables:
        with open(table, "rb") as lines:
            for line in lines:
                if place := file_of(os.fsdecode(line.partition(b" ")[2].strip())):
                    found.add(place[0])
    return found


def _counts(name: str) -> bool:
    known = name in _NOT_COUNTED or _ADDED.fullmatch(name)
    return not name.startswith(".") and not name.endswith(".log") and not known


def _contents(files: Mapping[str, Path], stats: Mapping[str, os.stat_result]) -> Iterator[tuple[str, str]]:
    large = sum(stat.st_size for stat in stats.values()) > LARGE_FOLDER_BYTES
    for name, file in files.items():
        stat = stats[name]
        if stat.st_size > LARGE_BYTES or (large and not ("wav.scp" in files and file.name == name)):
            yield name, f"{stat.st_size} {stat.st_mtime_ns}"
        else:
            with open(file, "rb") as stream:
                yield name, hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(lines: Iterator[str] | list[str]) -> str:
    total = hashlib.sha256()
    for line in lines:
        total.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return total.hexdigest()[:32]
