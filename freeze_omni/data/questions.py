"""Question sets as they are published: Web Questions, Llama Questions, TriviaQA, and our questions.jsonl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from freeze_omni.data.questions.facts import Question, read_questions
from freeze_omni.data.tables import TableError

_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()\s]+))\)')


def read_published(path: Path) -> list[Question]:
    """Questions of a file, told by its content; of a folder, its questions.jsonl or its one .json, .tsv or .csv.

    Forms: questions.jsonl; Web Questions (`utterance` and `targetValue`, or `qText` and `answers`); TriviaQA (`Data`
    with `Question` and `Answer`); Llama Questions (a table of questions and answers, tabs between).
    Raises TableError where it is none of these.
    """
    path = path if path.is_file() else _file_of(path)
    if path.suffix == ".jsonl":
        return read_questions(path)
    if path.suffix in (".tsv", ".txt"):
        rows = path.read_text(encoding="utf-8-sig").splitlines()
        return _questions(path, _llama_rows(path, rows))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TableError(f"{path}: not JSON ({error}); give a published file of questions") from None
    if isinstance(content, dict) and isinstance(content.get("Data"), list):
        return _questions(path, map(_trivia_row, content["Data"]))
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return _questions(path, (_web_row(row, number) for number, row in enumerate(content)))
    raise TableError(f"{path}: neither Web Questions nor TriviaQA; see docs/evaluation.md for the forms that are read")


def _file_of(folder: Path) -> Path:
    if (folder / "questions.jsonl").is_file():
        return folder / "questions.jsonl"
    files = [file for file in sorted(folder.glob("*")) if file.suffix in (".json", ".tsv")]
    if len(files) != 1:
        raise TableError(f"{folder}: {len(files)} files of questions (.json, .tsv) in it; name the one that is meant")
    return files[0]


def _web_row(row: dict[str, Any], number: int) -> tuple[str, str, list[str]]:
    if "targetValue" in row:  # as its authors publish it
        names = [first or second for first, second in _DESCRIPTION.findall(row["targetValue"])]
        return f"web-{number:05d}", row["utterance"], [name.replace('\\"', '"') for name in names]
    return str(row["qId"]), row["qText"], list(row["answers"])


def _trivia_row(row: dict[str, Any]) -> tuple[str, str, list[str]]:
    answer = row["Answer"]
    names = [answer["Value"], *answer.get("Aliases", ()), *answer.get("HumanAnswers", ())]
    return str(row["QuestionId"]), row["Question"], list(dict.fromkeys(names))


def _llama_rows(path: Path, lines: list[str]) -> Iterable[tuple[str, str, list[str]]]:
    rows = [line.split("\t") for line in lines if line.strip()]
    if rows and rows[0][0].strip().lower().startswith("question"):
        rows = rows[1:]
    for number, cells in enumerate(rows):
        if len(cells) < 2:
            raise TableError(f"{path}:{number + 1}: expected `question<tab>answer`")
        yield f"llama-{number:04d}", cells[0].strip(), [cells[1].strip()]


def _questions(path: Path, rows: Iterable[tuple[str, str, list[str]]]) -> list[Question]:
    try:
        found = [Question(key, text, tuple(answers), path.stem, "as published", key) for key, text, answers in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{path}: a question lacks {error}; it is not as published") from None
    if not found:
        raise TableError(f"{path}: no question in it")
    return found
