"""Questions with accepted answers: our questions.jsonl, and the question sets as they are published."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freeze_omni.config import build, one_line
from freeze_omni.data.ids import id_fault
from freeze_omni.data.rows import read_objects
from freeze_omni.data.tables import TableError, read_jsonl, read_lines, write_jsonl

_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()\s]+))\)')


@dataclass(frozen=True)
class Question:
    """One question. `fact` names its row, `phrasing` its template; any of `answers` counts as right."""

    id: str
    question: str
    answers: tuple[str, ...]
    kind: str
    phrasing: str
    fact: str
    held_out: bool = False

    def __post_init__(self) -> None:
        if fault := id_fault(self.id):
            raise ValueError(f"id {self.id!r}: {fault}; rename it")


def write_questions(path: str | Path, questions: Iterable[Question]) -> None:
    write_jsonl(path, map(asdict, questions))


def read_questions(path: str | Path) -> list[Question]:
    """Read questions.jsonl. Raises TableError or ConfigError that names the line."""
    return [build(Question, row, f"{path}:{number}") for number, row in read_jsonl(path)]


def read_published(path: Path) -> list[Question]:
    """Questions of a file, whose form its content shows; of a folder, its questions.jsonl or its one file of questions.

    Forms: questions.jsonl; Web Questions (`utterance` and `targetValue`, or `qText` and `answers`); TriviaQA (`Data`
    with `Question` and `Answer`); Llama Questions (a table of questions and answers, separated by tabs).
    Raises TableError for any other form.
    """
    path = path if path.is_file() else _file_of(path)
    questions = _read_form(path)
    counts = Counter(question.id for question in questions)
    if twice := next((key for key, count in counts.items() if count > 1), None):
        raise TableError(f"{path}: the id {one_line(twice)} comes twice; remove one question")
    return questions


def _read_form(path: Path) -> list[Question]:
    if path.suffix in (".tsv", ".txt"):
        return _questions(path, ((key, cells[0].strip(), [cells[1].strip()]) for key, cells in _table_rows(path)))
    rows = list(read_objects(path))
    first = rows[0][1] if rows else {}
    if len(rows) == 1 and isinstance(first.get("Data"), list):
        return _questions(path, map(_trivia_row, first["Data"]))
    if first.keys() & {"targetValue", "qText", "qId"}:
        return _questions(path, (_web_row(row, number) for number, (_, row) in enumerate(rows)))
    if "id" in first or path.suffix == ".jsonl":
        return [build(Question, row, where) for where, row in rows]
    raise TableError(f"{path}: neither Web Questions nor TriviaQA; docs/evaluation.md lists the accepted forms")


def published_sounds(path: Path) -> dict[str, str]:
    """Names of sound files, in the third column of a table as Llama Questions has it, by question; {} if none."""
    path = path if path.is_file() else _file_of(path)
    rows = _table_rows(path) if path.suffix in (".tsv", ".txt") else ()
    return {key: cells[2].strip() for key, cells in rows if len(cells) > 2 and cells[2].strip()}


def _file_of(folder: Path) -> Path:
    if (folder / "questions.jsonl").is_file():
        return folder / "questions.jsonl"
    files = [file for file in sorted(folder.glob("*")) if file.suffix in (".json", ".jsonl", ".tsv")]
    if len(files) != 1:
        raise TableError(f"{folder}: {len(files)} files of questions (.json, .jsonl, .tsv) in it; name one of them")
    return files[0]


def _web_row(row: dict[str, Any], number: int) -> tuple[str, str, list[str]]:
    if "targetValue" in row:  # as its authors publish it
        names = [first or second for first, second in _DESCRIPTION.findall(row["targetValue"])]
        return f"web-{number:05d}", row["utterance"], [name.replace('\\"', '"') for name in names]
    return str(row["qId"]), row["qText"], row["answers"]


def _trivia_row(row: dict[str, Any]) -> tuple[str, str, list[str]]:
    answer = row["Answer"]
    names = [answer["Value"], *answer.get("Aliases", ()), *answer.get("HumanAnswers", ())]
    return str(row["QuestionId"]), row["Question"], list(dict.fromkeys(names))


def _table_rows(path: Path) -> Iterable[tuple[str, list[str]]]:
    rows = [line.split("\t") for line in read_lines(path) if line.strip()]
    titled = bool(rows) and rows[0][0].strip().lower().startswith("question")
    for number, cells in enumerate(rows[titled:]):
        if len(cells) < 2:
            raise TableError(f"{path}:{number + 1}: expected `question<tab>answer`")
        yield f"llama-{number:04d}", cells


def _questions(path: Path, rows: Iterable[tuple[str, str, list[str]]]) -> list[Question]:
    found: list[Question] = []
    fixed = {"kind": path.stem, "phrasing": "as published"}
    try:
        for key, text, answers in rows:
            content = {"id": key, "question": text, "answers": answers, "fact": key, **fixed}
            found.append(build(Question, content, f"{path}, {one_line(key)}"))
    except (KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{path}: a question lacks {error}; this is not the published form") from None
    if not found:
        raise TableError(f"{path}: no question in it")
    return found
