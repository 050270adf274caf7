"""A decoding folder that can be continued: one JSON line for every finished item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import write_lines


class Records:
    """`records.jsonl` in a folder, with what it was made from in `made_from.json`.

    Items that were finished before are in `found`; made from something else, they are thrown away.
    """

    def __init__(self, folder: str | Path, made_from: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "records.jsonl"
        identity = json.dumps(made_from, sort_keys=True, default=str)
        same = _text(self.folder / "made_from.json").strip() == identity
        self.found = read_records(self.path) if same else {}
        write_lines(self.path, map(_line, self.found.values()))  # without a half line of a killed run
        write_lines(self.folder / "made_from.json", [identity])

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are still to do, in their order."""
        return [key for key in keys if key not in self.found]

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store finished items; each has its key under `id`."""
        with open(self.path, "a", encoding="utf-8") as file:
            for record in records:
                self.found[record["id"]] = dict(record)
                file.write(_line(record) + "\n")


def read_records(path: str | Path) -> dict[str, dict[str, Any]]:
    """Records by their ids; a last line that a killed run left half is dropped.

    Raises ValueError for any other line that is no record.
    """
    lines = _text(Path(path)).splitlines()
    found = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            found[record["id"]] = record
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                break
            raise ValueError(f"{path}:{number}: no record; remove the line, decode again") from None
    return found


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
