"""Big Bench Audio: reads metadata.jsonl with id, category, official_answer and file_name; writes responses.jsonl and
audio/response_<id>.wav."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import write_lines
from freeze_omni.eval.suites.base import Answer, Item, as_line, check_count, check_wav, read_lines

IN_TIME = False
FIELDS = ("id", "category", "official_answer", "file_name")


def read(data: Path, work: Path) -> list[Item]:
    """The folder of the data set."""
    rows = read_lines(data / "metadata.jsonl", FIELDS)
    return [Item(str(row["id"]), str(data / row["file_name"]), row.get("transcript", ""), row) for row in rows]


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    for item in items:
        if answers[item.id].sound:
            shutil.copyfile(answers[item.id].sound, folder / "audio" / f"response_{item.id}.wav")
    lines = (as_line({**item.fields, "response": answers[item.id].text, "model": name}) for item in items)
    write_lines(folder / "responses.jsonl", lines)


def check(folder: Path, items: Sequence[Item]) -> None:
    rows = list(read_lines(folder / "responses.jsonl", (*FIELDS, "response")))
    check_count(folder / "responses.jsonl", len(rows), items)
    for path in sorted((folder / "audio").glob("*.wav")):
        check_wav(path)
