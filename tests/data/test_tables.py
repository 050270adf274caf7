from pathlib import Path

import pytest

from freeze_omni.data.tables import (
    TableError,
    read_segments,
    read_table,
    require_same_ids,
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
