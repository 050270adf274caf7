"""What a reader of a corpus is, and what it gives: utterances or dialogues, and what it had to leave out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


class CorpusError(ValueError):
    """A corpus that is not as it is published: names the file or folder and the mend."""


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence. With `recording` it is a cut of `audio`, from start_s to end_s."""

    id: str
    speaker: str
    text: str
    audio: str
    recording: str = ""
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass(frozen=True)
class Dialogue:
    """What a user and an assistant wrote in turn, a pair a round."""

    id: str
    rounds: tuple[tuple[str, str], ...]
    kind: str


@dataclass(frozen=True)
class Skipped:
    """Something that cannot be used: where it is, and why, in words that many such places share."""

    where: str
    reason: str


Item = Utterance | Dialogue | Skipped


class Corpus(Protocol):
    """A frozen dataclass whose fields are its options; `root` is the folder it was unpacked into.

    role: asr or tts (gives Utterances) or qa (gives Dialogues). source: where it can be had.
    """

    role: ClassVar[str]
    source: ClassVar[str]
    root: Path

    def sets(self, work: Path) -> dict[str, list[str]]:
        """The sets that are there, each with the parts that are read one by one (folders, files or ranges).

        Checks the layout and reads no audio. `work` is a folder for lists that are cut to parts here.
        Raises CorpusError.
        """
        ...

    def read(self, name: str, part: str) -> Iterator[Item]:
        """What is in one part of the set `name`, in any order."""
        ...


def option(default: Any, text: str) -> Any:
    """A field of a corpus with its help text; every field is an option of the command line."""
    return dataclasses.field(default=default, metadata={"help": text})


def inside(root: Path, name: str, marker: str) -> Path:
    """The corpus folder `name`, where `root` is it or holds it. Raises CorpusError where `marker` is in neither."""
    for folder in (root, root / name):
        if (folder / marker).exists():
            return folder
    if not root.is_dir():
        raise CorpusError(f"{root}: no such folder; give the folder that holds {name}")
    raise CorpusError(f"{root}: no {marker} in it, nor in {name} below it; give the folder that the archive made")


def share_of(key: str) -> float:
    """A number in [0, 1) that depends on the id alone: who is below 0.01 belongs to the same one percent for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48


def ranges(count: int, size: int = 2000) -> list[str]:
    """`start:end` parts of a list of `count` lines."""
    return [f"{start}:{min(start + size, count)}" for start in range(0, count, size)]


def in_range(part: str) -> slice:
    """The slice of a part that `ranges` made."""
    start, end = part.split(":")
    return slice(int(start), int(end))
