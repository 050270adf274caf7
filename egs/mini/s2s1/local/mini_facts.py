"""Fact tables and templates to questions and statements.

A folder holds `templates.yaml` and its tables (tab-separated, first line the column names; several
accepted answers with commas between; the first is the one that statements say). A kind of question is

    capital: {table: countries.tsv, answer: capital, phrasings: ["What is the capital of {country}?"],
              held_out: ["Name the capital of {country}."], statements: ["{capital} is in {country}."]}
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.tables import TableError, write_lines

TEMPLATES = "templates.yaml"


@dataclass(frozen=True)
class Kind:
    """A kind of question: which table, which column answers, how it is asked and said."""

    table: str
    answer: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One question. `fact` names the row, `phrasing` the template; answers are what counts as right."""

    id: str
    question: str
    answers: tuple[str, ...]
    kind: str
    phrasing: str
    fact: str
    held_out: bool = False


@dataclass(frozen=True)
class Statement:
    """A sentence that is not for the system, or one in the manner of an answer."""

    text: str
    kind: str
    fact: str


def read_kinds(folder: str | Path) -> dict[str, Kind]:
    """Read templates.yaml. Raises ConfigError that names the file and key."""
    path = Path(folder) / TEMPLATES
    return {name: build(Kind, mapping, f"{path}: {name}") for name, mapping in read_yaml(path).items()}


def make_questions(folder: str | Path) -> list[Question]:
    """Every fact in every phrasing, in the order of the files; the same text comes once."""
    found: dict[str, Question] = {}
    for name, kind in read_kinds(folder).items():
        for row_number, row in enumerate(read_rows(Path(folder) / kind.table)):
            answers = tuple(filter(None, row.get(kind.answer, "").split(",")))
            if not answers:
                continue
            for number, phrasing in enumerate((*kind.phrasings, *kind.held_out)):
                text = fill(phrasing, row, f"{folder}/{TEMPLATES}: {name}")
                key = f"{name}-{row_number:03d}-{number:02d}"
                fact = f"{name}-{row_number:03d}"
                held_out = number >= len(kind.phrasings)
                found.setdefault(text, Question(key, text, answers, name, phrasing, fact, held_out))
    return list(found.values())


def make_statements(folder: str | Path) -> list[Statement]:
    """Every fact in every statement template; the same text comes once."""
    found: dict[str, Statement] = {}
    for name, kind in read_kinds(folder).items():
        for row_number, row in enumerate(read_rows(Path(folder) / kind.table)):
            if not row.get(kind.answer):
                continue
            for template in kind.statements:
                text = fill(template, row, f"{folder}/{TEMPLATES}: {name}")
                found.setdefault(text, Statement(text, name, f"{name}-{row_number:03d}"))
    return list(found.values())


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a table with a header. Raises TableError: missing, or a row with more cells than the header."""
    path = Path(path)
    if not path.exists():
        raise TableError(f"{path}: no such table; mend the name in {TEMPLATES}")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise TableError(f"{path}:{number}: more cells than the first line has")
    if not rows:
        raise TableError(f"{path}: no rows")
    return [{column: cell or "" for column, cell in row.items()} for row in rows]


def fill(template: str, row: dict[str, str], where: str) -> str:
    """Put the first choice of each cell into {column}; the sentence begins with a capital letter."""
    try:
        text = template.format(**{column: cell.split(",")[0] for column, cell in row.items()})
    except KeyError as error:
        raise ConfigError(f"{where}: '{template}' asks for {error}, not a column of its table") from None
    return text[:1].upper() + text[1:]


def write_questions(path: str | Path, questions: Iterable[Question]) -> None:
    """Write questions.jsonl, one object a line."""
    write_lines(path, (json.dumps(asdict(q), ensure_ascii=False) for q in questions))


def read_questions(path: str | Path) -> list[Question]:
    """Read questions.jsonl. Raises TableError that names the line."""
    questions = []
    path = Path(path)
    if not path.exists():
        raise TableError(f"{path}: no such file; run stage 1")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            questions.append(build(Question, json.loads(line), f"{path}:{number}"))
        except json.JSONDecodeError as error:
            raise TableError(f"{path}:{number}: not JSON ({error})") from None
    return questions
