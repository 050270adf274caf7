"""Read a Kaldi table (`<id> <value>` lines) and collect its problems, with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; 0 means the file as a whole."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{where}: {self.text}"


@dataclass
class Table:
    """A file of lines `<id> <value>`: values and line numbers by id, in the file's order."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def problem(self, key: str, text: str) -> Problem:
        """A problem of the line of `key`."""
        return Problem(self.path, self.lines[key], text)


def read_table(path: Path, problems: list[Problem]) -> Table:
    """Read a table and add broken, duplicate and unsorted lines to `problems`."""
    table, last = Table(path), ""
    for number, raw in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        if not raw.strip():
            problems.append(Problem(path, number, "empty line"))
            continue
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            problems.append(Problem(path, number, "not UTF-8; convert it with iconv"))
            continue
        if number == 1 and line.startswith("\ufeff"):
            problems.append(Problem(path, number, "byte-order mark; remove it with dos2unix"))
            line = line[1:]
        if line.endswith("\r"):
            problems.append(Problem(path, number, "Windows line end; convert it with dos2unix"))
        key, _, value = line.replace("\t", " ").strip().partition(" ")
        if key in table.values:
            first = table.lines[key]
            problems.append(Problem(path, number, f"id {key} was already given in line {first}"))
            continue
        if key < last:
            text = f"not sorted: {key} comes after {last}; sort with LC_ALL=C sort"
            problems.append(Problem(path, number, text))
        last = max(key, last)
        table.values[key], table.lines[key] = value.strip(), number
    return table
