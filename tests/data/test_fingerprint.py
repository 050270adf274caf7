"""Fingerprints: by content, of what counts."""

import os

import pytest

from freeze_omni.data import fingerprint as module
from freeze_omni.data.fingerprint import fingerprint


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data/log").mkdir(parents=True)
    (tmp_path / "a b.wav").write_text("one")
    (tmp_path / "data/wav.scp").write_text(f"u {tmp_path}/a b.wav\nv sox x.wav |\n")
    (tmp_path / "data/text").write_text("u Hi\n")
    return tmp_path / "data"


def test_a_data_directory_is_its_tables_and_its_sounds(data, tmp_path):
    before = fingerprint(data)
    (data / "log/x").write_text("1")
    (data / ".hidden").write_text("1")
    (data / "answers").mkdir()
    (data / "answers/text").write_text("made later")
    (data / "said").write_text("u 5 1 3\n")  # by a transcriber, for a later stage
    (data / "said.12").write_text("u 5 1 3\n")
    os.utime(tmp_path / "a b.wav", (1, 1))
    assert fingerprint(data) == before
    (tmp_path / "a b.wav").write_text("two")
    sound = fingerprint(data)
    (data / "text").write_text("u Ho\n")
    assert len({before, sound, fingerprint(data), fingerprint(data / "said")}) == 4


def test_a_folder_is_all_its_files_and_links_may_turn_in_circles(tmp_path):
    (tmp_path / "in/side").mkdir(parents=True)
    (tmp_path / "in/side/x").write_text("1")
    (tmp_path / "in/side/back").symlink_to(tmp_path / "in")
    before = fingerprint(tmp_path / "in")
    (tmp_path / "in/side/x").rename(tmp_path / "in/side/y")
    assert fingerprint(tmp_path / "in") != before
    assert (fingerprint(tmp_path / "none"), fingerprint(tmp_path)) != ("", "missing")


def test_what_is_large_counts_by_size_and_time(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE_FOLDER_BYTES", 2)
    before = fingerprint(data)
    os.utime(data / "text", (1, 1))
    assert fingerprint(data) == before, "tables count by content"
    os.utime(tmp_path / "a b.wav", (1, 1))
    assert fingerprint(data) != before


def test_untouched_files_are_not_read_again(data, tmp_path, monkeypatch):
    first = fingerprint(data, tmp_path / "seen")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_contents", None)
        assert fingerprint(data, tmp_path / "seen") == first
    stat = (tmp_path / "a b.wav").stat()
    (tmp_path / "a b.wav").write_text("two")
    os.utime(tmp_path / "a b.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(data, tmp_path / "seen") != first, "the old size and time, but touched"
