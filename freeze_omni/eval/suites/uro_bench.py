"""URO-Bench, single-round sets: a .jsonl with source_wav, source_text and target_text.

Writes audio/%04d.wav and pred_text.jsonl, question_text.jsonl, gt_text.jsonl, each line {"0000": text}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import write_jsonl
from freeze_omni.eval.suites.base import (
    Answer,
    Item,
    SuiteError,
    check_wav,
    copy_sounds,
    read_answers,
    read_lines,
)

IN_TIME = False
TEXTS = ("pred_text.jsonl", "question_text.jsonl", "gt_text.jsonl")


def read(data: Path, work: Path) -> list[Item]:
    """The test.jsonl of a set; its sounds are next to it."""
    path = data / "test.jsonl" if data.is_dir() else data
    items = []
    for number, row in enumerate(read_lines(path)):
        if "source_wav" not in row:
            kind = "a set of several rounds, which is not read" if "num_round" in row else "no 'source_wav'"
            raise SuiteError(f"{path}:{number + 1}: {kind}")
        sound = path.parent / row["source_wav"]
        items.append(Item(f"{number:04d}", str(sound), row.get("source_text", ""), row))
    return items


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    copy_sounds(folder / "audio", answers)
    texts = {item.id: (answers[item.id].text, item.text, _target(item)) for item in items}
    for column, file in enumerate(TEXTS):
        write_jsonl(folder / file, ({key: row[column]} for key, row in texts.items()))


def _target(item: Item) -> str:
    target = item.fields.get("target_text", item.text)
    return " / ".join(target) if isinstance(target, list) else target


def check(folder: Path, items: Sequence[Item]) -> None:
    for file in TEXTS:
        rows = read_answers(folder / file, items)
        for number, (row, item) in enumerate(zip(rows, items, strict=True), start=1):
            if list(row) != [item.id] or not isinstance(row[item.id], str):
                raise SuiteError(f'{folder / file}:{number}: expected {{"{item.id}": text}}')
    for path in sorted((folder / "audio").glob("*")):
        if path.stem not in {item.id for item in items} or path.suffix != ".wav":
            raise SuiteError(f"{path}: not named by the number of a question, as 0000.wav")
        check_wav(path)
