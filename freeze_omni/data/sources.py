"""What the sets of a recipe were made of, as stage 1 notes it and RESULTS.md shows it: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, build
from freeze_omni.data.tables import TableError, read_jsonl, write_jsonl

FILE = "sources.jsonl"


@dataclass(frozen=True)
class Source:
    """One source of one set. missing: why the set has nothing of it, if so."""

    set: str
    source: str
    voices: int = 0
    utterances: int = 0
    minutes: float = 0.0
    missing: str = ""


def write_sources(data: Path, sources: Iterable[Source]) -> None:
    """Write `data`/sources.jsonl."""
    write_jsonl(data / FILE, map(asdict, sources))


def read_sources(path: Path) -> list[Source]:
    """Read sources.jsonl. Raises ConfigError that names the line."""
    try:
        return [build(Source, row, f"{path}:{number}") for number, row in read_jsonl(path)]
    except TableError as error:
        raise ConfigError(f"{error}; run stage 1 again") from None
