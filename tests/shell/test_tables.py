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
