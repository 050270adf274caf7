"""A table as it was given, for the checks of a data directory: what is wrong with its lines, and the good ones."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from freeze_omni.data.ids import id_fault
from freeze_omni.data.table_file import USUAL, FileLines
from freeze_omni.data.tables import split_id

_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; 0 means the file as a whole. mended: `fix` loses nothing by it."""

    file: Path
    line: int
    text: str
    mended: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{where}: {self.text}"


class Row(NamedTuple):
    """A good line; `line` counts from 1."""

    key: str
    value: str
    line: int


class CheckedTable(FileLines):
    """The good lines of an `<id> <value>` file, which stay in the file: memory holds twelve bytes for each.

    Broken, doubled and unsorted lines are added to `problems`, in their order; of an id that comes twice, the first
    line is good.
    """

    def __init__(self, path: Path, problems: list[Problem]):
        super().__init__()
        self.path = path
        self._numbers = array("I")  # of each good line, counted from 1
        found: list[Problem] = []
        self._file = open(path, "rb")  # it closes with the table
        self._index(self._file, _Found(path, found))
        if self._order is not None:
            doubled = self._sort()
            for first, line in doubled:
                text = f"id {self.item(line)[0]} was already given in line {self._numbers[first]}"
                found.append(Problem(path, self._numbers[line], text))
            self.drop({self._numbers[line] for _, line in doubled})
        problems += sorted(found, key=lambda one: one.line)

    def rows(self) -> Iterator[Row]:
        """All, in the order of the file."""
        return (Row(*item, number) for item, number in zip(self._items(), self._numbers, strict=True))

    def values(self) -> Iterator[str]:
        """Of all, in the order of the file."""
        return (row.value for row in self.rows())

    def drop(self, numbers: set[int]) -> None:
        """Take lines out, by their numbers."""
        if not numbers:
            return
        kept = [(start, line) for start, line in zip(self._starts, self._numbers, strict=True) if line not in numbers]
        self._starts, self._numbers = array("Q", (start for start, _ in kept)), array("I", (line for _, line in kept))
        if self._order is not None:
            self._sort()

    def problem(self, row: Row, text: str) -> Problem:
        return Problem(self.path, row.line, text)

    def _parsed(self, raw: bytes, line: int) -> tuple[str, str]:
        return split_id(raw.decode().removeprefix(_MARK))

    def _index(self, file: Iterator[bytes], found: "_Found") -> None:
        start, last = 0, ""
        for number, raw in enumerate(file, start=1):
            usual = USUAL.fullmatch(raw)
            key = usual[1].decode() if usual else found.key_of(raw, number)
            if key is not None and (fault := id_fault(key)):
                found.broken(number, f"{key!r}: {fault}; rename it")
            elif key is not None:
                if key < last:
                    found.mended("not sorted: {} comes after {}", "sort with LC_ALL=C sort", number, key, last)
                if key <= last:
                    self._order = ()
                self._starts.append(start)
                self._numbers.append(number)
                last = max(key, last)
            start += len(raw)
        found.close()


class _Found:
    """Collects what is wrong with the lines of a file. What `fix` mends is named once, with how often it is there."""

    def __init__(self, path: Path, problems: list[Problem]):
        self.path, self.problems = path, problems
        self._mended: dict[str, tuple[int, str, str]] = {}
        self._counts: dict[str, int] = {}

    def key_of(self, raw: bytes, number: int) -> str | None:
        """The id of a line that needs a closer look; None: there is none."""
        if not raw.strip():
            self.mended("empty line", "", number)
            return None
        try:
            line = raw.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError:
            self.broken(number, "not UTF-8; convert it with iconv")
            return None
        if line.startswith(_MARK):  # not only of the first line: files may have been joined
            self.mended("byte-order mark", "remove it with dos2unix", number)
            line = line[1:]
        if line.endswith("\r"):
            self.mended("Windows line end", "convert it with dos2unix", number)
        return split_id(line)[0]

    def broken(self, number: int, text: str) -> None:
        self.problems.append(Problem(self.path, number, text))

    def mended(self, what: str, how: str, number: int, *words: str) -> None:
        self._mended.setdefault(what, (number, what.format(*words), how))
        self._counts[what] = self._counts.get(what, 0) + 1

    def close(self) -> None:
        for what, (number, text, how) in self._mended.items():
            times = f", and {self._counts[what] - 1} further lines" if self._counts[what] > 1 else ""
            self.problems.append(Problem(self.path, number, f"{text}{times}{'; ' + how if how else ''}", mended=True))
