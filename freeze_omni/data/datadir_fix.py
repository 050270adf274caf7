"""Fix a Kaldi data directory: sort, drop what cannot be used, rebuild spk2utt, keep a backup."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from heapq import merge
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO

from freeze_omni.data import datadir
from freeze_omni.data.checked_table import CheckedTable, Problem
from freeze_omni.data.corpora.shards import write_spk2utt
from freeze_omni.data.table_file import joined
from freeze_omni.data.tables import each_line, whole_file, write_lines

SKIPPED = "skipped"


def fix(folder: str | Path) -> tuple[int, int, list[Problem]]:
    """Fix the tables of `folder`; the originals are kept in `folder`/.backup.

    An utterance is kept if it is in every table under an id that follows the rule, its audio is whole and its
    transcript not empty. What is dropped is added to `folder`/skipped, with file, line and reason. Memory grows with
    what is dropped, not with the directory.
    Returns (utterances kept, utterances before, reasons for what was dropped).
    Raises FileNotFoundError if there is no table, ValueError if nothing would be left.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as made:
        tables, problems = _read_all(folder, Path(made))
        reasons = [problem for problem in problems if not problem.mended]
        reasons += datadir.check_ids(tables)
        by_utterance = {name: one for name, one in tables.items() if not (name == "wav.scp" and "segments" in tables)}
        ids = merge(*((key for key, _ in table.sorted_items()) for table in by_utterance.values()))
        before = sum(1 for _ in groupby(ids))
        reasons += _drop_unusable(tables)
        if next(joined(list(by_utterance.values())), None) is None:
            why = f" ({reasons[0]})" if reasons else ""
            raise ValueError(f"{folder}: no utterance is usable and in every file{why}; nothing was changed")
        _back_up(folder, tables, reasons)
        kept = _save(folder, by_utterance, None if "wav.scp" in by_utterance else tables.get("wav.scp"))
    return kept, before, reasons


def _read_all(folder: Path, made: Path) -> tuple[dict[str, CheckedTable], list[Problem]]:
    """All tables, and problems of their lines; a missing utt2spk comes from spk2utt, or has a speaker an utterance: it
    is written to the folder `made`."""
    problems: list[Problem] = []
    tables = {name: CheckedTable(folder / name, problems) for name in datadir.SPOKEN if (folder / name).is_file()}
    if not tables:
        raise FileNotFoundError(f"{folder}: no wav.scp, text or utt2spk in it")
    if "utt2spk" not in tables:
        if (folder / "spk2utt").is_file():
            rows = CheckedTable(folder / "spk2utt", problems).rows()
            lines = (f"{key} {row.key}" for row in rows for key in row.value.split())
        else:
            base = tables.get("segments") or tables.get("wav.scp") or next(iter(tables.values()))
            lines = (f"{row.key} {row.key}" for row in base.rows())
        write_lines(made / "utt2spk", lines)
        tables["utt2spk"] = CheckedTable(made / "utt2spk", problems)
    return tables, problems


def _drop_unusable(tables: dict[str, CheckedTable]) -> list[Problem]:
    """Take out entries whose content (not their id) makes them useless; returns the reasons."""
    reasons: list[Problem] = []
    for name, check in (
        ("wav.scp", datadir.check_audio),
        ("text", lambda table: datadir.check_text(table, non_print=True)),
        ("utt2spk", datadir.check_names),
        ("segments", lambda table: datadir.check_segments(table, tables.get("wav.scp"))),
    ):
        if name in tables:
            bad = list(check(tables[name]))
            tables[name].drop({problem.line for problem in bad})
            reasons += bad
    return reasons


def _back_up(folder: Path, tables: dict[str, CheckedTable], reasons: list[Problem]) -> None:
    """Copy the tables, and say why utterances are left out; what stage 1 has skipped stays in the list."""
    backup = folder / ".backup"
    backup.mkdir(exist_ok=True)
    for name in (*tables, "spk2utt"):
        if (folder / name).is_file():
            shutil.copy2(folder / name, backup / name)
    if reasons:
        earlier = each_line(folder / SKIPPED) if (folder / SKIPPED).is_file() else ()
        write_lines(folder / SKIPPED, chain(earlier, (f"{one.file.name}:{one.line}\t{one.text}" for one in reasons)))


def _save(folder: Path, tables: dict[str, CheckedTable], recordings: CheckedTable | None) -> int:
    """Write the tables of the utterances that are in all of them, and spk2utt; returns how many utterances these are.

    recordings: wav.scp where segments cut it.
    """
    names, kept = list(tables), 0
    used, find = bytearray(len(recordings or ())), recordings.finder() if recordings is not None else None
    with ExitStack() as stack:
        files = [stack.enter_context(_table(folder / name)) for name in names]
        for uid, values, _ in joined(list(tables.values())):
            kept += 1
            for file, value in zip(files, values, strict=True):
                file.write(f"{uid} {value}".rstrip().encode() + b"\n")
            if find is not None:
                used[find(values[names.index("segments")].split()[0]) or 0] = 1
    if recordings is not None:
        with _table(folder / "wav.scp") as file:
            for place in recordings.by_id():
                if used[place]:
                    file.write(" ".join(recordings.item(place)).encode() + b"\n")
    write_spk2utt(folder)
    return kept


@contextmanager
def _table(path: Path) -> Iterator[BinaryIO]:
    """A file to write, whole or not at all."""
    with whole_file(path) as partial, open(partial, "wb") as file:
        yield file
