"""Items of a suite, answers of a system, and the interface of a suite's module."""

from __future__ import annotations

import shutil
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


def read_answers(path: Path, items: Sequence[Item], needed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a file of answers. Raises SuiteError unless there is one for every item."""
    rows = list(read_lines(path, needed))
    if len(rows) != len(items):
        raise SuiteError(f"{path}: {len(rows)} answers to {len(items)} questions")
    return rows


def only_file(folder: Path, pattern: str) -> Path:
    """Raises SuiteError unless the folder has exactly one such file."""
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise SuiteError(f"{folder}: {len(files)} files {pattern} in it, not one")
    return files[0]


def copy_sounds(folder: Path, answers: Mapping[str, Answer], prefix: str = "") -> None:
    """Copy the answers with sound to folder/<prefix><id>.wav."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, answer in answers.items():
        if answer.sound:
            shutil.copyfile(answer.sound, folder / f"{prefix}{key}.wav")


def check_wav(path: Path) -> AudioHeader:
    """The header of a whole mono sound file. Raises SuiteError."""
    try:
        header = read_header(path)
    except AudioError as error:
        raise SuiteError(f"{path}: {error}") from None
    if header.channels != 1:
        raise SuiteError(f"{path}: {header.channels} channels, not one")
    return header
