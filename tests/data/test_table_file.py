"""A table that stays in its file says what `read_table` says, of good files and of broken ones."""

import pickle
from pathlib import Path

import pytest

from freeze_omni.data.table_file import TableFile, joined
from freeze_omni.data.tables import TableError, read_table

GOOD = [
    "a 1\nb two  words\nc\tafter a tab\nd ümlaut\u2028line\n",
    "c 3\na 1\nb 2\n",
    "\ufeffa with a mark\r\nb 2\r\n",
    "a 1\nb 2",
    "  a 1 \nb  2\n",
    f"{'x' * 400} long\ny {'words ' * 500}\n",
    "Z 1\na 2\né 3\nß 4\n",
]
GOOD += ["a 1\nb\t2 two\nc 3\n", "a 1\n b 2\nc 3\n", "a 1\nb 2\r\nc 3\n", "a 1\nb two three\nc 3 \n"]
BROKEN = ["a x\na y\n", "b 1\na x\nb y\n", "a x\nb\n", "a x\n\nb y\n", "", "a\x0bb c\n"]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", GOOD)
def test_as_read_table(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "t", text)
    known, table = read_table(path), TableFile(path)
    assert dict(table) == known and list(table) == list(known) and len(table) == len(known)
    assert list(table.sorted_items()) == sorted(known.items())
    assert [table[key] for key in known] == list(known.values())
    assert "0" not in table and "zzz" not in table and table.get("bb") is None
    assert dict(pickle.loads(pickle.dumps(table))) == known


@pytest.mark.parametrize("text", BROKEN)
def test_refuses_what_read_table_refuses(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "t", text)
    with pytest.raises(TableError) as known:
        read_table(path)
    with pytest.raises(TableError) as found:
        TableFile(path)
    assert str(found.value).split(";")[1] == str(known.value).split(";")[1]


def test_what_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        TableFile(tmp_path / "t")
    (tmp_path / "t").write_bytes(b"a \xff\n")
    with pytest.raises(TableError, match="t:1: not UTF-8"):
        TableFile(tmp_path / "t")


def test_memory_does_not_hold_the_values(tmp_path: Path) -> None:
    import tracemalloc

    path = write(tmp_path / "t", "".join(f"u{number:06d} {'value ' * 20}\n" for number in range(20000)))
    tracemalloc.start()
    table = TableFile(path)
    assert table["u000123"].startswith("value")
    assert tracemalloc.get_traced_memory()[0] < 20 * len(table)
    tracemalloc.stop()


def test_pieces_have_all_lines(tmp_path: Path) -> None:
    table = TableFile(write(tmp_path / "t", "c 3\na 1\nb 2\nd 4\ne 5\n"))
    assert [dict(map(table.item, piece)) for piece in table.pieces(2)] == [
        {"c": "3", "a": "1"},
        {"b": "2", "d": "4"},
        {"e": "5"},
    ]


def test_tables_are_joined_by_id(tmp_path: Path) -> None:
    texts = ["c 3\na 1\nb 2\ne 5\n", "a x\nb y\nd z\ne w\n", "b only\nf no\n"]
    one, two, three = (TableFile(write(tmp_path / str(number), text)) for number, text in enumerate(texts))
    assert list(joined([one, two], three)) == [
        ("a", ["1", "x"], None),
        ("b", ["2", "y"], "only"),
        ("e", ["5", "w"], None),
    ]
    assert [uid for uid, _, _ in joined([one])] == ["a", "b", "c", "e"]
    assert list(joined([one, two])) == [(uid, values, None) for uid, values, _ in joined([one, two], three)]
