"""Items of a suite, answers of a system, and the interface of a suite's module."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.data.audio_header import AudioError, AudioHeader, read_header
from freeze_omni.eval.sets import json_lines


class SuiteError(ValueError):
    """Inputs or outputs that are not in a suite's form: names the file, the line and the fix."""


@dataclass(frozen=True)
class Item:
    """One test: sound to be answered, its text if known, and the fields that the suite expects back."""

    id: str
    sound: str
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a system said: text, and a sound file (ours: 24 kHz wav); "" for none."""

    text: str
    sound: str = ""


class Suite(Protocol):
    """A module of this folder.

    IN_TIME: whether the answer's sound runs in time with the input.
    """

    IN_TIME: bool

    def read(self, data: Path, work: Path) -> list[Item]:
        """The tests of a published subset; `work` is for sound that is stored inside tables."""
        ...

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        """Write what the suite's scorer reads. name: of the system."""
        ...

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        """Raise SuiteError if the suite's scorer cannot read `folder`."""
        ...


def read_lines(path: Path, needed: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Objects of a .jsonl file that all have the needed keys. Raises SuiteError with the line."""
    for where, row in json_lines(path, SuiteError, "correct --data"):
        missing = [key for key in needed if key not in row]
        if missing:
            raise SuiteError(f"{where}: no '{missing[0]}'")
        yield row


def check_count(path: Path, found: int, items: Sequence[Item]) -> None:
    """Raises SuiteError unless there is a line for every item."""
    if found != len(items):
        raise SuiteError(f"{path}: {found} answers to {len(items)} questions")


def check_wav(path: Path) -> AudioHeader:
    """The header of a whole mono sound file. Raises SuiteError."""
    try:
        header = read_header(path)
    except AudioError as error:
        raise SuiteError(f"{path}: {error}") from None
    if header.channels != 1:
        raise SuiteError(f"{path}: {header.channels} channels, not one")
    return header


def as_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)
