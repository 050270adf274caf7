"""Shards become the tables of a set: sorted files are merged by `sort -m`, in flat memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from freeze_omni.data.corpora.base import CorpusError
from freeze_omni.data.corpora.shards import REPORT
from freeze_omni.data.tables import whole_file, write_lines

_SORT = {**os.environ, "LC_ALL": "C"}


def merge_shards(folders: Sequence[Path], output: Path, tables: Sequence[str]) -> None:
    """Write the tables that any shard has, and spk2utt; remove others. Raises CorpusError for a duplicate id."""
    output.mkdir(parents=True, exist_ok=True)
    for table in tables:
        parts = [str(folder / table) for folder in folders if (folder / table).is_file()]
        if parts:
            _sort(["-m", *parts], output / table)
        else:
            (output / table).unlink(missing_ok=True)
    for table in ("text", "questions.jsonl"):
        if (output / table).is_file():
            _refuse_doubled(output / table)
    if (output / "utt2spk").is_file():
        by_speaker = output / ".utt2spk.by_speaker"
        _sort(["-k2,2", "-k1,1", str(output / "utt2spk")], by_speaker)
        write_lines(output / "spk2utt", _speakers(by_speaker))
        by_speaker.unlink()


def table_names(folders: Sequence[Path]) -> list[str]:
    """Names of all tables that the shards hold."""
    return sorted({path.name for folder in folders for path in folder.iterdir() if path.name != REPORT})


def _sort(arguments: list[str], output: Path) -> None:
    if shutil.which("sort") is None:
        raise CorpusError("no `sort` program on PATH; install coreutils")
    with whole_file(output) as partial:
        run = subprocess.run(["sort", "-o", str(partial), *arguments], env=_SORT, capture_output=True, text=True)
        if run.returncode:
            raise CorpusError(f"{output}: sort failed: {run.stderr.strip()}; is the disk full?")


def _refuse_doubled(table: Path) -> None:
    last = None
    with open(table, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            key = line.split(",", 1)[0] if line.startswith("{") else line.split(" ", 1)[0]
            if key == last:
                raise CorpusError(f"{table}:{number}: the id {key} comes twice: the corpus holds it in two places")
            last = key


def _speakers(by_speaker: Path) -> Iterator[str]:
    with open(by_speaker, encoding="utf-8") as file:
        pairs = (line.split() for line in file)
        for speaker, group in groupby(pairs, key=lambda pair: pair[1]):
            yield f"{speaker} {' '.join(pair[0] for pair in group)}"
