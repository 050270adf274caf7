"""Big Bench Audio: reads metadata.jsonl with id, category, official_answer and file_name; writes responses.jsonl and
audio/response_<id>.wav."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import write_jsonl
from freeze_omni.eval.suites.base import Answer, Item, check_wav, copy_sounds, read_answers, read_lines

IN_TIME = False
FIELDS = ("id", "category", "official_answer", "file_name")


def read(data: Path, work: Path) -> list[Item]:
    """The folder of the data set."""
    rows = read_lines(data / "metadata.jsonl", FIELDS)
    return [Item(str(row["id"]), str(data / row["file_name"]), row.get("transcript", ""), row) for row in rows]


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    copy_sounds(folder / "audio", answers, "response_")
    rows = ({**item.fields, "response": answers[item.id].text, "model": name} for item in items)
    write_jsonl(folder / "responses.jsonl", rows)


def check(folder: Path, items: Sequence[Item]) -> None:
    read_answers(folder / "responses.jsonl", items, (*FIELDS, "response"))
    for path in sorted((folder / "audio").glob("*.wav")):
        check_wav(path)
