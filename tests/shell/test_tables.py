"""utils/*.pl that work on tables."""

import pytest

from tests.shell.bash import UTILS, ok, run


def test_speaker_tables_turn_into_each_other(tmp_path):
    (tmp_path / "utt2spk").write_text("a1 a\na2 a\nb1 b\n")
    spk2utt = ok(UTILS / "utt2spk_to_spk2utt.pl", tmp_path / "utt2spk")
    assert spk2utt == "a a1 a2\nb b1\n"
    (tmp_path / "spk2utt").write_text(spk2utt)
    assert ok(UTILS / "spk2utt_to_utt2spk.pl", tmp_path / "spk2utt") == "a1 a\na2 a\nb1 b\n"


def test_broken_line_is_named(tmp_path):
    (tmp_path / "utt2spk").write_text("a1 a\na2\n")
    result = run(UTILS / "utt2spk_to_spk2utt.pl", tmp_path / "utt2spk")
    assert result.returncode != 0
    assert "utt2spk:2:" in result.stderr


@pytest.mark.parametrize(
    ("options", "left"),
    [([], "b x\n"), (["--exclude"], "a y\nc z\n"), (["-f", "2"], "c z\n")],
)
def test_filter(tmp_path, options, left):
    (tmp_path / "list").write_text("b 1\nz\n")
    (tmp_path / "table").write_text("a y\nb x\nc z\n")
    out = ok(UTILS / "filter_scp.pl", *options, tmp_path / "list", tmp_path / "table")
    assert out == left


@pytest.mark.parametrize(("lines", "parts"), [(10, 3), (5, 5), (101, 7)])
def test_split_keeps_order_and_balance(tmp_path, lines, parts):
    table = "".join(f"u{i:03d} v{i}\n" for i in range(lines))
    (tmp_path / "table").write_text(table)
    outs = [tmp_path / f"out.{i}" for i in range(parts)]
    ok(UTILS / "split_scp.pl", tmp_path / "table", *outs)
    pieces = [out.read_text() for out in outs]
    sizes = [piece.count("\n") for piece in pieces]
    assert "".join(pieces) == table
    assert max(sizes) - min(sizes) <= 1
    one = ok(UTILS / "split_scp.pl", "-j", parts, parts - 1, tmp_path / "table")
    assert one == pieces[-1]


def test_split_does_not_divide_speakers(tmp_path):
    keys = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "b0", "c0", "c1"]
    (tmp_path / "table").write_text("".join(f"{key} x\n" for key in keys))
    (tmp_path / "utt2spk").write_text("".join(f"{key} {key[0]}\n" for key in keys))
    outs = [tmp_path / f"out.{i}" for i in range(3)]
    ok(UTILS / "split_scp.pl", f"--utt2spk={tmp_path}/utt2spk", tmp_path / "table", *outs)
    assert [{line[0] for line in out.read_text().splitlines()} for out in outs] == [
        {"a"},
        {"b"},
        {"c"},
    ]


def test_too_many_parts_is_an_error(tmp_path):
    (tmp_path / "table").write_text("a b\n")
    result = run(UTILS / "split_scp.pl", tmp_path / "table", tmp_path / "1", tmp_path / "2")
    assert result.returncode != 0
    assert "too few for 2 parts" in result.stderr
