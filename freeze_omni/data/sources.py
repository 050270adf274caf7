"""What the sets of a recipe were made of, as stage 1 notes it and RESULTS.md shows it: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, build
from freeze_omni.data.tables import write_lines

FILE = "sources.jsonl"


@dataclass(frozen=True)
class Source:
    """One source of one set. missing: why there is nothing of it, where it could not be had."""

    set: str
    source: str
    voices: int = 0
    utterances: int = 0
    minutes: float = 0.0
    missing: str = ""


def write_sources(data: Path, sources: Iterable[Source]) -> None:
    """Write `data`/sources.jsonl."""
    write_lines(data / FILE, (json.dumps(asdict(source), ensure_ascii=False) for source in sources))


def read_sources(path: Path) -> list[Source]:
    """Raises ConfigError that names the line which is no source."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; run stage 1 again") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise ConfigError(f"{path}:{number}: no JSON object; run stage 1 again") from None
        found.append(build(Source, row, f"{path}:{number}"))
    return found
