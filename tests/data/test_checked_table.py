"""What is wrong with the lines of a table, and the good ones, whatever their order and number."""

import tracemalloc
from pathlib import Path

import pytest

from freeze_omni.data.checked_table import CheckedTable, Problem


def checked(path: Path, content: str) -> tuple[CheckedTable, list[str]]:
    path.write_bytes(content.encode())
    problems: list[Problem] = []
    return CheckedTable(path, problems), [str(one).removeprefix(f"{path}:") for one in problems]


def test_rows_have_the_numbers_of_their_lines(tmp_path: Path) -> None:
    table, problems = checked(tmp_path / "t", "\nb two  words\n.hidden x\nc\ta tab\r\na\n")
    assert [tuple(row) for row in table.rows()] == [("b", "two  words", 2), ("c", "a tab", 4), ("a", "", 5)]
    assert [problem.split(";")[0] for problem in problems] == [
        "1: empty line",
        "3: '.hidden': the id begins with ., as a hidden file does",
        "4: Windows line end",
        "5: not sorted: a comes after c",
    ]
    assert [key for key, _ in table.sorted_items()] == ["a", "b", "c"]


@pytest.mark.parametrize("lines", ["a 1\na 2\nb 3\na 4\n", "b 3\na 1\na 2\na 4\n"])
def test_the_first_of_some_lines_with_one_id_is_good(tmp_path: Path, lines: str) -> None:
    table, problems = checked(tmp_path / "t", lines)
    assert dict(table.sorted_items()) == {"a": "1", "b": "3"}
    first = next(row.line for row in table.rows() if row.key == "a")
    doubled = [problem for problem in problems if "already given" in problem]
    assert len(doubled) == 2 and all(problem.endswith(f"id a was already given in line {first}") for problem in doubled)


def test_what_can_be_mended_is_named_once(tmp_path: Path) -> None:
    _, problems = checked(tmp_path / "t", "a 1\r\nc 1\r\nb 2\r\n")
    assert problems == [
        "1: Windows line end, and 2 further lines; convert it with dos2unix",
        "3: not sorted: b comes after c; sort with LC_ALL=C sort",
    ]


def test_lines_are_dropped_by_their_numbers(tmp_path: Path) -> None:
    table, _ = checked(tmp_path / "t", "c 1\n\na 2\nb 3\n")
    table.drop({3})
    assert [row.line for row in table.rows()] == [1, 4]
    find = table.finder()
    assert find("a") is None and [table.item(find(key) or 0) for key in ("b", "c")] == [("b", "3"), ("c", "1")]


@pytest.mark.parametrize("step", [1, 7])
def test_memory_does_not_hold_the_lines(tmp_path: Path, step: int) -> None:
    count = 20000
    content = "".join(f"u{number * step % count:06d} {'value ' * 20}\n" for number in range(count))
    (tmp_path / "t").write_text(content)
    problems: list[Problem] = []
    tracemalloc.start()
    table = CheckedTable(tmp_path / "t", problems)
    assert sum(1 for _ in table.rows()) == count
    assert tracemalloc.get_traced_memory()[0] < 30 * count and len(problems) == (step != 1)
    tracemalloc.stop()
