"""What a corpus reader is, and what it gives: utterances or dialogues, and what it skipped."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from freeze_omni.data.tables import TableError, read_lines


class CorpusError(ValueError):
    """A corpus that is not as it is published: names the file or folder and the fix."""


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
    """What a user and an assistant wrote, a pair for each round."""

    id: str
    rounds: tuple[tuple[str, str], ...]
    kind: str


@dataclass(frozen=True)
class Skipped:
    """Something that cannot be used: where it is, and why, in words that are the same for all such places."""

    where: str
    reason: str


Item = Utterance | Dialogue | Skipped


class Corpus:
    """Base of the readers, frozen dataclasses whose fields are options; `root` is the folder that was unpacked.

    role: asr or tts (gives Utterances) or qa (gives Dialogues). source: where to get it.
    archive: name of the folder that the archive makes, and a file in it.
    """

    role: ClassVar[str]
    source: ClassVar[str]
    archive: ClassVar[tuple[str, str]]
    root: Path

    @property
    def folder(self) -> Path:
        """The archive's folder: `root` or a folder in it. Raises CorpusError if it is neither."""
        name, marker = self.archive
        for folder in (self.root, self.root / name):
            if (folder / marker).exists():
                return folder
        if not self.root.is_dir():
            raise CorpusError(f"{self.root}: no such folder; give the folder that holds {name}")
        raise CorpusError(
            f"{self.root}: no {marker} in it, nor in {name} below it; give the folder that the archive made"
        )

    def lines(self, name: str) -> list[str]:
        """Lines of a list in the archive's folder. Raises CorpusError."""
        return lines_of(self.folder / name)

    def sets(self, work: Path) -> dict[str, list[str]]:
        """Set -> its parts (folders, files, ranges), by the layout alone; `work` may hold lists. Raises CorpusError."""
        raise NotImplementedError

    def read(self, name: str, part: str) -> Iterator[Item]:
        """What is in one part of the set `name`, in any order."""
        raise NotImplementedError


def option(default: Any, text: str) -> Any:
    """A field of a corpus with its help text; every field is an option of the command line."""
    return dataclasses.field(default=default, metadata={"help": text})


def folders_in(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir())


def lines_of(path: Path) -> list[str]:
    """Lines of a list of the corpus. Raises CorpusError."""
    try:
        return read_lines(path)
    except TableError as error:
        raise CorpusError(f"{error}; or unpack the archive again") from None


def own_text(path: Path) -> str | Skipped:
    """The text of an utterance that has a file of its own, or why it is skipped."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Skipped(str(path), "the text is not UTF-8")


def share_of(key: str) -> float:
    """A number in [0, 1) that depends on the id alone: an id below 0.01 always belongs to the same one percent."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48


def qa_set(place: float, held_out: float) -> str:
    """The set of a dialogue by its place in [0, 1): qa_dev and qa_test have a share of `held_out` each."""
    return "qa_dev" if place < held_out else "qa_test" if place < 2 * held_out else "qa_train"


def ranges(count: int, size: int = 2000) -> list[str]:
    """`start:end` parts of a list of `count` lines."""
    return [f"{start}:{min(start + size, count)}" for start in range(0, count, size)]


def in_range(part: str) -> slice:
    """The slice of a part that `ranges` made."""
    start, end = part.split(":")
    return slice(int(start), int(end))
