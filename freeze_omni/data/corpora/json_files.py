"""JSON of any size in flat memory: the array of a file item by item, and JSON lines in parts for several processes."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")
_PART_BYTES = 32 << 20
_MARK = "\ufeff".encode()


def stream_array(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """The objects of the array under `key` ("": the file is the array). Raises ValueError: no such JSON, or cut."""
    try:
        yield from _items(path, key)
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: broken JSON ({error}); fetch it again") from None


def _items(path: Path, key: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        text, at = _find_array(file, path, key)
        while True:
            at = _BETWEEN.match(text, at).end()
            if at < len(text) and text[at] == "]":
                return
            try:
                item, end = decoder.raw_decode(text, at)
            except RecursionError:
                raise ValueError(f"{path}: JSON that is nested too deep; this is not a published file") from None
            except json.JSONDecodeError:
                more = file.read(max(_BLOCK, len(text) - at))
                if not more:
                    raise ValueError(f"{path}: broken JSON, or the file is cut; fetch it again") from None
                text, at = text[at:] + more, 0
                continue
            yield item
            at = end


def _find_array(file: Any, path: Path, key: str) -> tuple[str, int]:
    text = ""
    while block := file.read(_BLOCK):
        text += block
        found = re.search(rf'"{key}"\s*:\s*\[', text) if key else re.match(r"\s*\[", text)
        if found:
            return text, found.end()
        text = text[-len(key) - 64 :]
    raise ValueError(f"{path}: no array {key} in it; this is not the published file".replace("  ", " "))


def is_array(path: Path) -> bool:
    """Whether a file is one JSON array; else it is read as JSON lines, whatever its name says."""
    if path.suffix == ".gz":
        return False
    with open(path, "rb") as file:
        return file.read(_BLOCK).removeprefix(_MARK).lstrip().startswith(b"[")


def byte_ranges(path: Path, size: int = _PART_BYTES) -> list[str]:
    """Parts `start:end` of a file of JSON lines, .gz as a whole; a line belongs to the part in which it begins."""
    if path.suffix == ".gz":
        return ["0:0"]
    total = path.stat().st_size
    return [f"{start}:{min(start + size, total)}" for start in range(0, total, size)]


def read_rows(path: Path, part: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(place, object) of each line of the part, None where it is no JSON object; the place is a byte or line number."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            try:
                yield from ((number, _object(line)) for number, line in enumerate(file, start=1) if line.strip())
            except (OSError, EOFError) as error:
                raise ValueError(f"{path}: broken or cut ({error}); fetch it again") from None
        return
    start, end = (int(number) for number in part.split(":"))
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the line that the part before has begun
        while (place := file.tell()) < end:
            line = file.readline()
            if line.strip():
                yield place, _object(line)


def _object(line: str | bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.removeprefix(_MARK) if isinstance(line, bytes) else line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
