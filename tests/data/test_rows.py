"""Rows with named fields: the content of a file shows its form, and no row or cell is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freeze_omni.data.rows import read_rows
from freeze_omni.data.tables import TableError

ROWS = [{"id": "a", "text": 'one, "two"\u2028three'}, {"id": "b", "text": "four"}]
JSON_FORMS = {
    "lines": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
    "lines with blank ones": "\n" + "\n\n".join(json.dumps(row) for row in ROWS) + "\n\n",
    "array": json.dumps(ROWS),
    "array over lines": json.dumps(ROWS, indent=1),
    "Windows": "\ufeff" + "".join(json.dumps(row) + "\r\n" for row in ROWS),
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_is_taken_for_what_it_is(form: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text(JSON_FORMS[form], encoding="utf-8", newline="")
    assert [row for _, row in read_rows(path)] == ROWS


def test_one_object_over_many_lines_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"Data": ROWS}, indent=2))
    assert [row for _, row in read_rows(tmp_path / "x.json")] == [{"Data": ROWS}]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_cells_of_tables(start: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f'{start}id,text\r\na,"one, ""two""\nthree"\r\nb\r\n', encoding="utf-8", newline="")
    assert [row for _, row in read_rows(tmp_path / "x.csv")] == [
        {"id": "a", "text": 'one, "two"\nthree'},
        {"id": "b", "text": ""},
    ]
    (tmp_path / "x.tsv").write_text(f'{start}id\ttext\r\na\t"one\u2028two\r\n\r\nb\t\r\n', encoding="utf-8", newline="")
    assert [row for _, row in read_rows(tmp_path / "x.tsv")] == [
        {"id": "a", "text": '"one\u2028two'},
        {"id": "b", "text": ""},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", "{}\n3\n", "x.jsonl:2: no JSON object"),
        ("x.jsonl", "{}\n{\n", "x.jsonl:2: no JSON object"),
        ("x.json", "[{}, 3]", "x.json, item 2: no JSON object"),
        ("x.json", "[{}, ", "x.json: no JSON object"),
        ("x.json", "[" * 100_000, "x.json: no JSON object"),
        ("x.jsonl", '{"a": "\\ud83d"}\n', "x.jsonl:1: no JSON object .*surrogates not allowed"),
        ("x.jsonl", f'{{"a": {"1" * 5000}}}\n', "x.jsonl:1: no JSON object"),
        ("x.csv", 'id,text\na,"one\nb,two\n', "x.csv: not a .csv file"),
        ("x.csv", "id,text\na,one,two\n", "x.csv:2: more cells than the first line has"),
        ("x.csv", "id,id\na,b\n", "x.csv:1: a column's name comes twice"),
        ("x.tsv", "", "x.tsv: empty"),
    ],
)
def test_what_would_lose_something_is_told_in_one_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TableError, match=message) as error:
        list(read_rows(tmp_path / name))
    assert "\n" not in str(error.value)
