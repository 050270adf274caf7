"""Durations of whole directories: what is learned from, how it is cut, and what memory holds."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import torch

from freeze_omni.data.tables import read_table, write_table
from freeze_omni.speech_decoder.timing import durations
from freeze_omni.speech_decoder.timing.durations import TextRows, TimedSet, write_durations
from tests.toy import toy_tokenizer

ROWS = TextRows("llm", "characters", "plain")


def write_set(folder: Path, count: int) -> TimedSet:
    folder.mkdir()
    ids = [f"utterance-{at:06d}" for at in range(count)]
    write_table(folder / "wav.scp", {uid: f"/sounds/{uid}.wav" for uid in ids})
    write_table(folder / "text", {uid: "A blue whale, and a spider." for uid in ids})
    write_table(folder / "tokens", {uid: "1 2 3 4 5 6 7 8 9" for uid in ids})
    return TimedSet(folder / "wav.scp", folder / "text", folder / "tokens")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is listened to: sounds of forty frames."""
    found: list[str] = []
    features = torch.randn(40, 39, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(durations, "features_of", lambda entry: found.append(entry) or features)
    monkeypatch.setattr(durations, "check_source", str)
    tokenizer = toy_tokenizer()
    monkeypatch.setattr(durations, "read_tokenizer", lambda source: tokenizer)
    monkeypatch.setattr(durations, "ENOUGH_FRAMES", 400)
    return found


def test_ten_minutes_of_all_sets_are_learned_from(tmp_path: Path, heard: list[str]) -> None:
    sets = [write_set(tmp_path / "one", 30), write_set(tmp_path / "two", 10)]
    (tmp_path / "two/wav.scp").write_text((tmp_path / "two/wav.scp").read_text().replace("/sounds", "/others"))
    assert write_durations(sets, ROWS) == 40
    learned = heard[:10]  # of forty frames each
    assert len(heard) == 10 + 40 and len(set(learned)) == 10 and learned != sorted(learned)
    assert {path.split("/")[1] for path in learned} == {"sounds", "others"}
    for name, count in (("one", 30), ("two", 10)):
        rows = read_table(tmp_path / name / "durations")
        assert len(rows) == count and {sum(map(int, row.split())) for row in rows.values()} == {9}


def test_an_utterance_without_sound_or_text_is_left_out(tmp_path: Path, heard: list[str]) -> None:
    one = write_set(tmp_path / "one", 12)
    for path in (one.wavs, one.texts):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1 if path == one.wavs else 0 : -1]))
    assert write_durations([one], ROWS) == 10
    assert min(read_table(tmp_path / "one/durations")) == "utterance-000001"


def test_memory_does_not_grow_with_the_sets(tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three tables and its durations take two hundred bytes an utterance, more if they are held."""
    monkeypatch.setattr(durations, "PIECE_UTTERANCES", 20)
    timed = [1] * 9 + [0] * 18
    monkeypatch.setattr(durations.Acoustics, "durations", lambda self, features, texts, counts: [timed] * len(texts))
    peaks, counts = [], (40, 40, 600)  # the first one imports
    for number, count in enumerate(counts):
        one = write_set(tmp_path / str(number), count)
        tracemalloc.start()
        assert write_durations([one], ROWS) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        heard.clear()
    assert peaks[2] < peaks[1] + 150 * counts[2]
