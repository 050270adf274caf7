"""Rows with named fields: JSON lines, a JSON array, .csv or .tsv; what a .json file is, its content shows."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import TableError, each_line, parse_json, read_json, read_jsonl

ROW_FILES = (".jsonl", ".json", ".csv", ".tsv")
Row = tuple[str, dict[str, Any]]  # where it is, and its fields


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of ROW_FILES. Raises TableError."""
    if path.suffix == ".csv":
        return read_csv(path)
    return read_tsv(path) if path.suffix == ".tsv" else read_objects(path)


def read_objects(path: Path) -> Iterator[Row]:
    """JSON objects: one a line, or the items of one array, or one object over many lines. Raises TableError."""
    first = next((line.strip() for line in each_line(path) if line.strip()), "")
    if first.startswith("[") or (path.suffix == ".json" and not _is_json(first)):
        content = read_json(path)
        items = content if isinstance(content, list) else [content]
        found = ((f"{path}, item {number}", item) for number, item in enumerate(items, start=1))
    else:
        found = ((f"{path}:{number}", item) for number, item in read_jsonl(path))
    for where, item in found:
        if not isinstance(item, dict):
            raise TableError(f"{where}: no JSON object; correct the line")
        yield where, item


def _is_json(line: str) -> bool:
    try:
        parse_json(line, "")
    except TableError:
        return False
    return True


def read_csv(path: Path) -> Iterator[Row]:
    """Rows by the names of the first line; a quoted cell may hold line ends. Raises TableError."""
    try:
        rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
        cells = [(rows.line_num, row) for row in rows if row]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise TableError(f"{path}: not a .csv file in UTF-8 ({error}); write it again") from None
    return _named(path, cells)


def read_tsv(path: Path) -> Iterator[Row]:
    """Rows by the names of the first line, with tabs between cells and no quotes. Raises TableError."""
    lines = enumerate(each_line(path), start=1)
    return _named(path, [(number, line.split("\t")) for number, line in lines if line.strip()])


def _named(path: Path, cells: list[tuple[int, list[str]]]) -> Iterator[Row]:
    """Rows as fields by name; cells that are missing at the end of a row are empty."""
    if not cells:
        raise TableError(f"{path}: empty; give a table whose first line names its columns")
    (line, names), *rows = cells
    if len(set(names)) < len(names):
        raise TableError(f"{path}:{line}: a column's name comes twice; rename one")
    for number, row in rows:
        if len(row) > len(names):
            raise TableError(f"{path}:{number}: more cells than the first line has; correct the row")
        yield f"{path}:{number}", dict(zip(names, row + [""] * (len(names) - len(row)), strict=True))
