"""Kaldi tables and line files: one reader and one writer for every `id value` file, JSON lines and lists."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class TableError(ValueError):
    """A table that cannot be used: names the file, the line and the fix."""


@dataclass(frozen=True)
class Segment:
    """A cut of a recording, in seconds; end_s is infinite where the table says -1: to the recording's end."""

    recording: str
    start_s: float
    end_s: float


def read_lines(path: str | Path) -> list[str]:
    r"""Lines of a UTF-8 file, with or without a byte-order mark. A line ends at \n alone; a \r before it is dropped.

    `str.splitlines()` would also cut at U+2028, U+0085, \x0b, ..., which may stand inside a text.
    Raises TableError: no such file, or not UTF-8.
    """
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; run the stage that makes it") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 ({error}); convert it with iconv") from None
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def read_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Line number and content of each JSON line. Raises TableError that names the line."""
    for number, line in enumerate(read_lines(path), start=1):
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise TableError(f"{path}:{number}: no JSON object ({error}); fix or remove the line") from None


def write_jsonl(path: str | Path, rows: Iterable[object]) -> None:
    """Write one JSON value a line, whole or not at all."""
    write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def read_table(path: str | Path, need_value: bool = True) -> dict[str, str]:
    """Read `id value` lines in the file's order. Raises TableError: no file, none in it, an id twice, or no value."""
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        parts = line.split(maxsplit=1)
        if not parts:
            raise TableError(f"{path}:{number}: empty line; remove it")
        if parts[0] in table:
            raise TableError(f"{path}:{number}: the id {parts[0]} comes twice; remove one line")
        if need_value and len(parts) < 2:
            raise TableError(f"{path}:{number}: {parts[0]} has no value; add one or remove the line")
        table[parts[0]] = parts[1].strip() if len(parts) > 1 else ""
    if not table:
        raise TableError(f"{path}: empty; run the stage that makes it again")
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write `id value` lines sorted by id (C order), whole or not at all."""
    write_lines(path, (f"{key} {table[key]}".rstrip() for key in sorted(table)))


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path that is renamed to `path` at the end: a killed or failed run leaves no half file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_segments(path: str | Path) -> dict[str, Segment]:
    """Read a `segments` file: `id recording start end`, in seconds; end -1 is the recording's. Raises TableError."""
    segments = {}
    for number, (key, value) in enumerate(read_table(path).items(), start=1):
        try:
            segments[key] = parse_segment(value)
        except ValueError as error:
            raise TableError(f"{path}:{number}: {key} {error}; fix the line") from None
    return segments


def parse_segment(value: str) -> Segment:
    """`recording start end` of a line. Raises ValueError that says what is wrong, after the id."""
    parts = value.split()
    try:
        recording, start_s, end_s = parts[0], float(parts[1]), float(parts[2])
    except (IndexError, ValueError):
        raise ValueError("is not `id recording start end`, with times in seconds") from None
    if len(parts) > 3:
        raise ValueError("has a channel after the times; write each channel as a recording of its own")
    if end_s == -1 and 0 <= start_s < math.inf:
        return Segment(recording, start_s, math.inf)
    if not 0 <= start_s < end_s < math.inf:
        raise ValueError(f"ends before it starts: from {start_s:g} s to {end_s:g} s")
    return Segment(recording, start_s, end_s)


def write_speakers(folder: str | Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk and its inverse, spk2utt."""
    spk2utt: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        spk2utt.setdefault(utt2spk[utterance], []).append(utterance)
    write_table(Path(folder) / "utt2spk", utt2spk)
    write_table(Path(folder) / "spk2utt", {spk: " ".join(utts) for spk, utts in spk2utt.items()})


def require_same_ids(tables: Mapping[str, Mapping[str, object]], where: str | Path) -> None:
    """Raise TableError unless all tables (file name -> table) have the same ids; names one that is missing."""
    (first, reference), *others = tables.items()
    for name, table in others:
        for have, lack, known, wanted in ((first, name, reference, table), (name, first, table, reference)):
            missing = [key for key in known if key not in wanted]
            if missing:
                raise TableError(
                    f"{where}: {missing[0]} ({len(missing)} in all) is in {have} but not in {lack};"
                    f" add it there, or run utils/fix_data_dir.sh {where}"
                )


def read_dir(source: Path) -> tuple[dict[str, str], dict[str, Segment], dict[str, str], dict[str, str]]:
    """Read wav.scp, segments ({} if none), text, utt2spk (else one speaker an utterance). Raises TableError."""
    entries, texts = read_table(source / "wav.scp"), read_table(source / "text")
    segments = read_segments(source / "segments") if (source / "segments").exists() else {}
    speakers = read_table(source / "utt2spk") if (source / "utt2spk").exists() else {key: key for key in texts}
    first = {"segments": segments} if segments else {"wav.scp": entries}
    require_same_ids({**first, "text": texts, "utt2spk": speakers}, source)
    for utterance, segment in segments.items():
        if segment.recording not in entries:
            raise TableError(f"{source}/segments: {utterance}: no {segment.recording} in wav.scp")
    return entries, segments, texts, speakers
