"""OpenAudioBench: <subset>/<subset>.csv with audio_filename, <subset>/audios/; writes a .jsonl of its rows and
`infer_response`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import write_jsonl
from freeze_omni.eval.suites.base import Answer, Item, SuiteError, only_file, read_answers

IN_TIME = False
_QUESTIONS = ("instruction", "question", "Questions", "prompt")


def read(data: Path, work: Path) -> list[Item]:
    """The folder of a subset: alpaca_eval, llama_questions, reasoning_qa, trivia_qa or web_questions."""
    path = data / f"{data.name}.csv"
    if not path.is_file():
        raise SuiteError(f"{path}: no such file; give the folder of one subset")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "audio_filename" not in rows[0]:
        raise SuiteError(f"{path}: no rows with 'audio_filename'")
    items = []
    for number, row in enumerate(rows):
        text = next((row[name] for name in _QUESTIONS if row.get(name)), "")
        items.append(Item(f"{number:05d}", str(data / "audios" / row["audio_filename"]), text, row))
    return items


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    rows = ({**item.fields, "infer_response": answers[item.id].text} for item in items)
    write_jsonl(folder / f"{name}-openaudiobench-{folder.name}.jsonl", rows)


def check(folder: Path, items: Sequence[Item]) -> None:
    read_answers(only_file(folder, "*-openaudiobench-*.jsonl"), items, ("audio_filename", "infer_response"))
