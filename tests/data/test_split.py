"""Rows of a data directory in parts: those of one recording stay together."""

from pathlib import Path

import pytest

from freeze_omni.data.split import open_dir, part_size, write_parts
from freeze_omni.data.tables import TableError, read_jsonl, read_table


def utterances(part: Path) -> list[tuple[str, list[str]]]:
    return [(row["entry"], [one[0] for one in row["utterances"]]) for _, row in read_jsonl(part / "rows.jsonl")]


def test_a_small_directory_too_is_work_for_several_processes() -> None:
    assert [part_size(utterances) for utterances in (1, 240, 32_000, 2_000_000)] == [1, 7, 1000, 1000]


def test_parts_of_single_files(toy_dir: Path, tmp_path: Path) -> None:
    parts = write_parts(open_dir(toy_dir), tmp_path / "parts", 1)
    wavs = read_table(toy_dir / "wav.scp")
    assert [utterances(part) for part in parts] == [[(wavs["spk-a"], ["spk-a"])], [(wavs["spk-b"], ["spk-b"])]]


def test_a_recording_is_in_one_part(toy_dir: Path, tmp_path: Path) -> None:
    ids = {"spk-1": "spk-b 0 0.2", "spk-2": "spk-a 0 0.2", "spk-3": "spk-b 0.2 -1", "spk-4": "spk-a 0.2 0.4"}
    (toy_dir / "segments").write_text("".join(f"{uid} {cut}\n" for uid, cut in ids.items()))
    (toy_dir / "text").write_text("".join(f"{uid} x\n" for uid in ids))
    (toy_dir / "utt2spk").write_text("".join(f"{uid} spk\n" for uid in ids))
    wavs = read_table(toy_dir / "wav.scp")
    parts = write_parts(open_dir(toy_dir), tmp_path / "parts", 2)
    assert [utterances(part) for part in parts] == [
        [(wavs["spk-a"], ["spk-2", "spk-4"])],
        [(wavs["spk-b"], ["spk-1", "spk-3"])],
    ]
    (toy_dir / "segments").write_text("".join(f"{uid} {cut}\n" for uid, cut in ids.items()).replace("spk-a", "tape"))
    with pytest.raises(TableError, match="segments: spk-2: no tape in wav.scp"):
        open_dir(toy_dir)
