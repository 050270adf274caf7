"""Units are made from texts that stay in their files, which are checked on the way."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from freeze_omni.bin import make_units
from freeze_omni.llm import units as module
from freeze_omni.llm.units import CtcUnits
from tests.commands import exit_code

LINES = 20_000


def write(path: Path, lines: int = LINES) -> Path:
    path.write_text("".join(f"u{at:06d} A word of the {at % 50}th kind of sentences, Ann\n" for at in range(lines)))
    return path


def run(*words: object) -> int:
    return exit_code(make_units.main, [str(word) for word in words])


def lexicon(folder: Path) -> Path:
    folder.mkdir()
    (folder / "words.tsv").write_text("a\t0.1\nword\t0.01\n")
    return folder


@pytest.mark.parametrize("kind", ["char", "word"])
def test_memory_does_not_hold_the_texts(tmp_path: Path, kind: str) -> None:
    """Sixteen bytes a line at most, where the texts have fifty characters."""
    words = ["--kind", kind, "--lexicon", lexicon(tmp_path / "lexicon"), "--output", tmp_path / kind]
    write(tmp_path / "few", 100), write(tmp_path / "many")
    peaks = []
    for name in ("few", "few", "many"):  # the first one imports
        tracemalloc.start()
        assert run("--text", tmp_path / name, *words) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 16 * LINES


def test_pieces_are_those_of_a_bounded_draw_that_is_always_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "BPE_TEXTS", 200)
    write(tmp_path / "text", 3000)
    found = []
    for name in ("one", "two"):
        assert run("--text", tmp_path / "text", "--kind", "bpe", "--size", 40, "--output", tmp_path / name) == 0
        found.append(CtcUnits.load(tmp_path / name).tokens)
    assert found[0] == found[1] and len(found[0]) > 20


def test_all_files_count(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a xy\n")
    (tmp_path / "two").write_text("a z\n")
    assert run("--text", tmp_path / "one", tmp_path / "two", "--kind", "char", "--output", tmp_path) == 0
    assert CtcUnits.load(tmp_path).tokens == ["<blank>", "<unk>", "<space>", "x", "y", "z"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a one\nb\n", ":2: b has no value"),
        ("a one\n\nb two\n", ":2: empty line"),
        ("a x\na y\n", ":2: the id a comes twice"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture, text: str, told: str) -> None:
    (tmp_path / "text").write_text(text)
    assert run("--text", tmp_path / "text", "--kind", "char", "--output", tmp_path) == 1
    assert f"{tmp_path / 'text'}{told}" in capsys.readouterr().err
