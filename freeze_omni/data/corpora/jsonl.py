"""JSON lines in parts: byte ranges, so that several processes read one file; .gz files as a whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PART_BYTES = 32 << 20
_MARK = "\ufeff".encode()


def byte_ranges(path: Path, size: int = _PART_BYTES) -> list[str]:
    """Parts `start:end` of a file; a line belongs to the part in which it begins."""
    if path.suffix == ".gz":
        return ["0:0"]
    total = path.stat().st_size
    return [f"{start}:{min(start + size, total)}" for start in range(0, total, size)]


def read_rows(path: Path, part: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(place, object) of each line of the part, None where it is no JSON object; the place is a byte or line number."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            yield from ((number, _object(line)) for number, line in enumerate(file, start=1) if line.strip())
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
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
