"""A generated part takes its place in a document and leaves the rest."""

from __future__ import annotations

import json

from benchmarks.generated import put, put_figures


def test_a_part_is_added_once_and_then_replaced(tmp_path):
    path = tmp_path / "docs" / "page.md"
    put(path, "one", "old")
    put(path, "two", "second")
    path.write_text(path.read_text() + "the end\n")
    put(path, "one", "new")
    lines = path.read_text().split("\n")
    assert lines[0] == "# Benchmarks" and lines[-2] == "the end"
    assert "old" not in lines and lines[lines.index("new") + 1] == "<!-- one: end -->"
    assert lines.index("new") < lines.index("second")


def test_figures_of_another_command_stay(tmp_path):
    path = tmp_path / "docs" / "speed.json"
    put_figures(path, {"one": 1, "two": {"a": 1}})
    put_figures(path, {"two": {"b": 2}, "three": 3})
    assert json.loads(path.read_text()) == {"one": 1, "two": {"b": 2}, "three": 3}
