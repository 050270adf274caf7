"""Fact tables and templates to questions, statements, and speech that asks for no answer.

A folder holds `templates.yaml`, `phrases.yaml` and their tables (tab-separated, first line the column names; accepted
answers separated by commas; statements say the first). A kind of question is

    capital: {table: countries.tsv, answer: capital, phrasings: ["What is the capital of {country}?"],
              held_out: ["Name the capital of {country}."], statements: ["{capital} is in {country}."]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.questions import Question
from freeze_omni.data.rows import read_tsv
from freeze_omni.data.tables import TableError

TEMPLATES = "templates.yaml"
PHRASES = "phrases.yaml"


@dataclass(frozen=True)
class Kind:
    """A kind of question: which table, which column answers, how it is asked and said."""

    table: str
    answer: str
    phrasings: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statement:
    """A sentence that states a fact."""

    text: str
    kind: str
    fact: str


@dataclass(frozen=True)
class SideTalk:
    """Templates over the rows of a table; table "" is for sentences without a slot."""

    templates: tuple[str, ...]
    table: str = ""


@dataclass(frozen=True)
class Phrases:
    """What people say that the system should not answer, requests to wait, and what fills a pause; held_out: for test
    scenes alone."""

    backchannels: tuple[str, ...]
    side_talk: tuple[SideTalk, ...]
    held_out_backchannels: tuple[str, ...]
    held_out_side_talk: tuple[str, ...]
    waits: tuple[str, ...] = ()
    held_out_waits: tuple[str, ...] = ()
    fillers: tuple[str, ...] = ()
    held_out_fillers: tuple[str, ...] = ()

    def said(self, folder: Path) -> list[str]:
        """Side talk with its slots filled, each sentence once. Raises TableError."""
        found: dict[str, None] = {}
        for block in self.side_talk:
            rows = read_rows(folder / block.table) if block.table else [{}]
            for row in rows:
                found.update(dict.fromkeys(fill(text, row, str(folder / PHRASES)) for text in block.templates))
        return list(found)


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


def read_phrases(folder: str | Path) -> Phrases:
    """Read phrases.yaml. Raises ConfigError."""
    path = Path(folder) / PHRASES
    return build(Phrases, read_yaml(path), str(path))


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a table with a header. Raises TableError: missing, or a row with more cells than the header."""
    path = Path(path)
    if not path.exists():
        raise TableError(f"{path}: no such table; fix the name in {TEMPLATES}")
    rows = [row for _, row in read_tsv(path)]
    if not rows:
        raise TableError(f"{path}: no rows")
    return rows


def fill(template: str, row: dict[str, str], where: str) -> str:
    """Put the first choice of each cell into {column}; the sentence begins with a capital letter."""
    try:
        text = template.format(**{column: cell.split(",")[0] for column, cell in row.items()})
    except KeyError as error:
        raise ConfigError(f"{where}: '{template}' asks for {error}, not a column of its table") from None
    return text[:1].upper() + text[1:]
