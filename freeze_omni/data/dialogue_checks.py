"""Check a dialogue set of stage 4: the files beside those of an ordinary data directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from freeze_omni.data.checked_table import Problem, Table, read_table
from freeze_omni.data.question_checks import check_questions

STATES = ("0", "1", "2", "-1")
ANSWERED = ("answer", "answer_wav.scp", "utt2question")  # tables of those scenes that ask for an answer
FILES = ("states", "scene", *ANSWERED, "history", "questions.jsonl")


def check_dialogue(folder: Path, recordings: Table) -> list[Problem]:
    """Problems of states, scene, the tables of answered scenes, history, and questions.jsonl.

    recordings: wav.scp of the set, which says what scenes there are.
    """
    problems: list[Problem] = []
    for name in ("states", "scene"):
        if not (folder / name).is_file():
            problems.append(Problem(folder / name, 0, "is missing; stage 4 writes it"))
    if (folder / "states").is_file():
        problems += _check_states(read_table(folder / "states", problems), recordings)
    if (folder / "scene").is_file():
        problems += _check_scenes(folder / "scene", recordings)
    names = [name for name in (*ANSWERED, "history") if (folder / name).is_file()]
    tables = {name: read_table(folder / name, problems) for name in names}
    for table in tables.values():
        for key in (key for key in table.values if key not in recordings.values):
            problems.append(Problem(table.path, table.lines[key], f"{key} is not in {recordings.path.name}"))
    if "history" in tables:
        problems += _check_history(tables["history"])
    if "utt2question" in tables:
        problems += check_questions(folder / "questions.jsonl")
        problems += _check_named(tables["utt2question"], folder)
    return problems


def _check_states(table: Table, recordings: Table) -> Iterator[Problem]:
    for key, value in table.values.items():
        strange = [word for word in value.split() if word not in STATES]
        if strange:
            text = f"{key} has the state {strange[0]!r}, which is none of {' '.join(STATES)}"
            yield Problem(table.path, table.lines[key], text)
    for key in (key for key in recordings.values if key not in table.values):
        yield Problem(recordings.path, recordings.lines[key], f"{key} is not in {table.path.name}")


def _check_history(table: Table) -> Iterator[Problem]:
    """A JSON list of [user text, answer] pairs behind each id."""
    for key, value in table.values.items():
        try:
            good = all(isinstance(text, str) for user, answer in json.loads(value) for text in (user, answer))
        except (ValueError, TypeError):
            good = False
        if not good:
            yield Problem(table.path, table.lines[key], f"{key} has no JSON list of [user text, answer] pairs")


def _check_scenes(path: Path, recordings: Table) -> Iterator[Problem]:
    """One JSON object a line: id, and segments with kind, start_s and end_s."""
    from freeze_omni.duplex.labels import DECISIONS  # here: it brings torch, which the other roles do without

    found = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            scene = json.loads(line)
            found.add(scene["id"])
            parts = [(part["kind"], float(part["start_s"]), float(part["end_s"])) for part in scene["segments"]]
        except (ValueError, KeyError, TypeError):
            yield Problem(path, number, "no JSON object with id, and segments of kind, start_s and end_s")
            continue
        for kind, start_s, end_s in parts:
            if kind not in DECISIONS:
                yield Problem(path, number, f"{scene['id']}: kind {kind!r} is none of {' '.join(DECISIONS)}")
            if not 0 <= start_s < end_s:
                yield Problem(path, number, f"{scene['id']}: a segment starts at {start_s} s and ends at {end_s} s")
    for key in (key for key in recordings.values if key not in found):
        yield Problem(recordings.path, recordings.lines[key], f"{key} is not in {path.name}")


def _check_named(named: Table, folder: Path) -> Iterator[Problem]:
    """Every question of utt2question must be one of questions.jsonl."""
    path = folder / "questions.jsonl"
    if not path.is_file():
        return
    known = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            known.add(json.loads(line)["id"])
        except (ValueError, KeyError, TypeError):
            continue  # said by check_questions
    for key in (key for key, question in named.values.items() if question not in known):
        text = f"{key} asks {named.values[key]}, which is not in {path.name}"
        yield Problem(named.path, named.lines[key], text)
