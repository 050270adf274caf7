"""Kaldi tables and line files: one reader and one writer for every `id value` file, JSON lines and lists."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLANK = re.compile(r"[ \t]")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_NAME = 200  # bytes of a file's name that leave room for the marks of a temporary one; Linux allows 255


class TableError(ValueError):
    """A table that cannot be used: names the file, the line and the fix."""


@dataclass(frozen=True)
class Segment:
    """A cut of a recording, in seconds; end_s is infinite where the table says -1: to the recording's end."""

    recording: str
    start_s: float
    end_s: float


def each_line(path: str | Path) -> Iterator[str]:
    r"""Lines of a UTF-8 file, with or without a byte-order mark. A line ends at \n alone; a \r before it is dropped.

    `str.splitlines()` would also cut at U+2028, U+0085, \x0b, ..., and a file opened as text at a lone \r; all may
    stand inside a text. Raises TableError: no such file, or not UTF-8.
    """
    for number, raw in enumerate(_raw_lines(path), start=1):
        yield _decoded(raw, path, number)


def read_lines(path: str | Path) -> list[str]:
    """All lines, as `each_line` gives them."""
    return list(each_line(path))


def _raw_lines(path: str | Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:  # a file of bytes has no other line end than \n
            yield from file
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; run the stage that makes it") from None
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}; give a file that can be read") from None


def _decoded(raw: bytes, path: str | Path, number: int) -> str:
    try:
        line = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}:{number}: not UTF-8 ({error}); convert it with iconv") from None
    return line.removeprefix("\ufeff") if number == 1 else line


def parse_json(text: str, where: str, fix: str = "fix or remove the line") -> Any:
    """A JSON value. Raises TableError after `where`: no JSON, nested too deep, or a character that no file can hold."""
    try:
        content = json.loads(text)
        if _HALF.search(text):  # half of a character beyond U+FFFF, as cut texts end
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise TableError(f"{where}: no JSON object ({error}); {fix}") from None
    return content


def read_json(path: str | Path, fix: str = "write it again") -> Any:
    """The value that a file holds. Raises TableError."""
    return parse_json("\n".join(each_line(path)), str(path), fix)


def read_jsonl(path: str | Path, cut: bool = False) -> Iterator[tuple[int, Any]]:
    """Line number and content of each JSON line that is not blank. Raises TableError that names the line.

    cut: a last line without its end is what a killed run left, and is left out.
    """
    for number, raw in enumerate(_raw_lines(path), start=1):
        if raw.strip() and not (cut and not raw.endswith(b"\n")):
            yield number, parse_json(_decoded(raw, path, number), f"{path}:{number}")


def write_jsonl(path: str | Path, rows: Iterable[object]) -> None:
    """Write one JSON value a line, whole or not at all."""
    write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def append_jsonl(path: str | Path, rows: Iterable[object]) -> None:
    """Add one JSON value a line, in place of the half line that a killed run left."""
    with open(path, "a+b") as file:
        file.seek(max(file.tell() - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())


def read_table(path: str | Path, need_value: bool = True) -> dict[str, str]:
    """`id value` lines, in order. Raises TableError: none, an id twice or with other white space in it, or no value."""
    table: dict[str, str] = {}
    for number, raw in enumerate(_raw_lines(path), start=1):
        key, value = parse_line(raw, path, number, need_value)
        if key in table:
            raise twice(path, number, key)
        table[key] = value
    if not table:
        raise TableError(f"{path}: empty; run the stage that makes it again")
    return table


def parse_line(raw: bytes, path: str | Path, number: int, need_value: bool = True) -> tuple[str, str]:
    """Id and value of a table's line, counted from 1. Raises TableError as `read_table`."""
    key, value = split_id(_decoded(raw, path, number))
    if not key:
        raise TableError(f"{path}:{number}: empty line; remove it")
    if not _is_word(key):
        raise TableError(f"{path}:{number}: the id {key!a} holds white space; write a blank after the id")
    if need_value and not value:
        raise TableError(f"{path}:{number}: {key} has no value; add one or remove the line")
    return key, value


def twice(path: str | Path, number: int, key: str) -> TableError:
    return TableError(f"{path}:{number}: the id {key} comes twice; remove one line")


def split_id(line: str) -> tuple[str, str]:
    """The id, which a blank or a tab ends, and the value after it; "" for what is not there."""
    key, *rest = _BLANK.split(line.strip(), maxsplit=1)
    return key, rest[0].strip() if rest else ""


def _is_word(key: str) -> bool:
    return key.split() == [key] and "\ufeff" not in key  # a byte-order mark is white space that nobody sees


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write `id value` lines sorted by id (C order), whole or not at all. Raises TableError as `read_table` would."""
    for key, value in table.items():
        if not _is_word(key) or "\n" in str(value):
            raise TableError(f"{path}: {key!a}: an id is one word, and its value one line; correct it where it is made")
    write_lines(path, (f"{key} {table[key]}".rstrip() for key in sorted(table)))


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial, open(partial, "wb") as file:
        try:
            file.writelines(f"{line}\n".encode() for line in lines)
        except UnicodeEncodeError as error:  # half a character, or a file name that is not UTF-8
            raise TableError(f"{path}: a text is not Unicode ({error}); correct it where it is made") from None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path that is renamed to `path` at the end: a killed or failed run leaves no half file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(path.name)
    short = path.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()
    partial = path.with_name(f".{short}.{os.getpid()}")
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
                raise only_in(where, have, lack, missing[0], len(missing))


def only_in(where: str | Path, have: str, lack: str, key: str, count: int) -> TableError:
    """Error of `count` ids, of which `key` is one, that a table has and another lacks."""
    return TableError(
        f"{where}: {key} ({count} in all) is in {have} but not in {lack};"
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
