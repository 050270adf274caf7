from pathlib import Path

import pytest

from freeze_omni.data.tables import (
    TableError,
    append_jsonl,
    read_jsonl,
    read_segments,
    read_table,
    require_same_ids,
    write_lines,
    write_speakers,
    write_table,
)


def test_a_table_comes_back_sorted(tmp_path: Path) -> None:
    write_table(tmp_path / "text", {"b": "two words", "a": "", "B": 3})
    assert (tmp_path / "text").read_text() == "B 3\na\nb two words\n"
    assert read_table(tmp_path / "text", need_value=False) == {"B": "3", "a": "", "b": "two words"}
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a x\na y\n", r"text:2: the id a comes twice"),
        ("a x\nb\n", r"text:2: b has no value"),
        ("a x\n\nb y\n", r"text:2: empty line"),
        ("", r"text: empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "text").write_text(content)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "text")


def test_what_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "text")
    (tmp_path / "text").write_bytes(b"a \xff\xfe\n")
    with pytest.raises(TableError, match="not UTF-8"):
        read_table(tmp_path / "text")


def test_segments_are_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "segments").write_text("u1 rec 0.5 1.25\n")
    segment = read_segments(tmp_path / "segments")["u1"]
    assert (segment.recording, segment.start_s, segment.end_s) == ("rec", 0.5, 1.25)
    (tmp_path / "segments").write_text("u1 rec 0.5 1.25\nu2 rec 2 1\n")
    with pytest.raises(TableError, match="u2 ends before it starts"):
        read_segments(tmp_path / "segments")


def test_speakers_are_inverted(tmp_path: Path) -> None:
    write_speakers(tmp_path, {"b-2": "b", "a-1": "a", "b-1": "b"})
    assert (tmp_path / "spk2utt").read_text() == "a a-1\nb b-1 b-2\n"


def test_ids_have_to_be_the_same() -> None:
    require_same_ids({"wav.scp": {"a": 1}, "text": {"a": 2}}, "data/x")
    with pytest.raises(TableError, match="data/x: b .* is in text but not in wav.scp"):
        require_same_ids({"wav.scp": {"a": 1}, "text": {"a": 2, "b": 3}}, "data/x")


def test_a_folder_or_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="Is a directory; give a file that can be read"):
        read_table(tmp_path)
    (tmp_path / "text").write_bytes(b"a x\nb \xff\n")
    with pytest.raises(TableError, match="text:2: not UTF-8"):
        read_table(tmp_path / "text")


@pytest.mark.parametrize("blank", ["\u3000", "\u2028", "\x85", "\xa0"])
def test_a_blank_or_a_tab_ends_the_id_and_nothing_else(tmp_path: Path, blank: str) -> None:
    (tmp_path / "text").write_text(f"a\tone{blank}two\nb  three\n", encoding="utf-8")
    assert read_table(tmp_path / "text") == {"a": f"one{blank}two", "b": "three"}
    (tmp_path / "text").write_text(f"a{blank}one two\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"text:1: the id .* holds white space; write a blank after the id"):
        read_table(tmp_path / "text")


@pytest.mark.parametrize("table", [{"a b": "x"}, {"": "x"}, {"a\u2028": "x"}, {"a": "one\ntwo"}, {"a": "half \ud83d"}])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, table: dict[str, str]) -> None:
    with pytest.raises(TableError, match="text: "):
        write_table(tmp_path / "text", table)
    assert not list(tmp_path.iterdir())


def test_json_lines_go_on_after_a_killed_run(tmp_path: Path) -> None:
    """The half line may end inside a character; the next run writes over it."""
    path, rows = tmp_path / "x.jsonl", [{"text": "à la\u2028carte"}, {"text": "é"}]
    append_jsonl(path, rows[:1])
    append_jsonl(path, rows[1:])
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = [row for _, row in read_jsonl(path, cut=True)]
        assert found == rows[: whole[:size].count(b"\n")]
        append_jsonl(path, rows[len(found) :])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["x" * 252, "é" * 126])
def test_a_file_may_have_the_longest_name(tmp_path: Path, name: str) -> None:
    write_lines(tmp_path / name, ["a"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
