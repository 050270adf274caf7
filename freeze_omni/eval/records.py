"""A decoding folder that can be resumed: one JSON line for each finished item."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import read_table, write_lines
from freeze_omni.eval.sets import first_keys


class Records:
    """`records.jsonl` in a folder, with what it was made from in `made_from.json`.

    `found` holds the items of earlier runs; they are dropped if they were made from something else.
    """

    def __init__(self, folder: str | Path, made_from: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "records.jsonl"
        identity = json.dumps(made_from, sort_keys=True, default=str)
        same = _text(self.folder / "made_from.json").strip() == identity
        self.found = read_records(self.path) if same else {}
        write_lines(self.path, map(_line, self.found.values()))  # without the half line of a killed run
        write_lines(self.folder / "made_from.json", [identity])

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that remain to be done, in their order."""
        return [key for key in keys if key not in self.found]

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store finished items; each has its key under `id`."""
        with open(self.path, "a", encoding="utf-8") as file:
            for record in records:
                self.found[record["id"]] = dict(record)
                file.write(_line(record) + "\n")


def read_records(path: str | Path) -> dict[str, dict[str, Any]]:
    """Records by id; the half line at the end of a killed run is dropped.

    Raises ValueError for any other line that is not a record.
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
            raise ValueError(f"{path}:{number}: no record; remove the line and decode again") from None
    return found


def clip_records(
    folder: Path, name: str, made_from: Mapping[str, Any], limit: int | None = None
) -> tuple[Records, dict[str, str]]:
    """Records in folder/<name> of the clips of folder/wav.scp as they are now, and the clips' files by id.

    limit: at most this many clips, spread evenly.
    """
    table = read_table(folder / "wav.scp")
    if limit is not None:
        table = {key: table[key] for key in first_keys(table, limit)}
    stats = {key: Path(path).stat() for key, path in table.items()}
    clips = {key: (stat.st_size, stat.st_mtime_ns) for key, stat in stats.items()}
    return Records(folder / name, {"clips": clips, **made_from}), table


def data_of(folder: Path) -> Path:
    """The data directory that a decoding folder was made from."""
    return Path(json.loads((folder / "made_from.json").read_text(encoding="utf-8"))["data"])


def progress(title: str, done: int, total: int, started_s: float) -> None:
    """One line on standard error: overwritten on a terminal; in a log, one for each tenth of the work."""
    live = sys.stderr.isatty()
    if not live and done < total and done * 10 // total == (done - 1) * 10 // total:
        return
    end = "\r" if live and done < total else "\n"
    print(f"{title}: {done}/{total}, {time.time() - started_s:.0f} s", file=sys.stderr, end=end, flush=True)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
