"""Check questions.jsonl, the list of questions of a data directory with the role qa."""

from __future__ import annotations

import json
from pathlib import Path

from freeze_omni.data.checked_table import Problem

QUESTION_KEYS = {
    "id": str,
    "question": str,
    "answers": list,
    "kind": str,
    "phrasing": (str, int),
}


def check_questions(path: Path) -> list[Problem]:
    """questions.jsonl: one JSON object a line with id, question, answers, kind and phrasing."""
    if not path.is_file():
        return [Problem(path, 0, "is missing")]
    problems, seen = [], {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(Problem(path, number, f"not JSON: {error.msg}"))
            continue
        if not isinstance(item, dict):
            problems.append(Problem(path, number, "not a JSON object in braces"))
            continue
        for key, kind in QUESTION_KEYS.items():
            if not isinstance(item.get(key), kind) or item[key] == "":
                text = f"{key!r} is missing, empty or of a wrong type"
                problems.append(Problem(path, number, text))
        name = str(item.get("id"))
        if seen.setdefault(name, number) != number:
            text = f"id {name} was already given in line {seen[name]}"
            problems.append(Problem(path, number, text))
    if not seen:
        problems.append(Problem(path, 0, "is empty: there is no question in it"))
    return problems
