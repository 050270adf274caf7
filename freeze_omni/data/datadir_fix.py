"""Mend a Kaldi data directory: sort, drop what cannot be used, rebuild spk2utt, keep a backup."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path

from freeze_omni.data.checked_table import Problem, Table, read_table
from freeze_omni.data.datadir import PER_UTTERANCE, check_audio, check_segments, check_text

TABLES = ("wav.scp", "segments", "text", "utt2spk", *PER_UTTERANCE)


def write_table(path: Path, values: dict[str, str]) -> None:
    """Write `<id> <value>` lines sorted by id, in one step."""
    partial = path.with_name(f".{path.name}.tmp")
    lines = (f"{key} {values[key]}".rstrip() + "\n" for key in sorted(values))
    partial.write_text("".join(lines), encoding="utf-8")
    os.replace(partial, path)


def invert(utt2spk: dict[str, str]) -> dict[str, str]:
    """spk2utt of an utt2spk: the utterances of each speaker, sorted."""
    utterances = defaultdict(list)
    for key in sorted(utt2spk):
        utterances[utt2spk[key]].append(key)
    return {speaker: " ".join(keys) for speaker, keys in utterances.items()}


def from_spk2utt(path: Path, problems: list[Problem]) -> Table:
    """The utt2spk that a spk2utt implies."""
    table = Table(path.with_name("utt2spk"))
    for speaker, keys in read_table(path, problems).values.items():
        for key in keys.split():
            table.values[key] = speaker
            table.lines[key] = 0
    return table


def read_all(folder: Path) -> dict[str, Table]:
    """The tables that are there; where utt2spk is not, it is made (an utterance, a speaker)."""
    ignored: list[Problem] = []
    names = [name for name in TABLES if (folder / name).is_file()]
    tables = {name: read_table(folder / name, ignored) for name in names}
    if not tables:
        raise FileNotFoundError(f"{folder}: there is no wav.scp, text or utt2spk to mend")
    if "utt2spk" not in tables:
        if (folder / "spk2utt").is_file():
            tables["utt2spk"] = from_spk2utt(folder / "spk2utt", ignored)
        else:
            base = tables.get("segments") or tables.get("wav.scp") or next(iter(tables.values()))
            tables["utt2spk"] = Table(folder / "utt2spk", {key: key for key in base.values})
    return tables


def unusable(tables: dict[str, Table]) -> list[Problem]:
    """Entries whose content (not their id) makes them useless."""
    problems = []
    if "wav.scp" in tables:
        problems += check_audio(tables["wav.scp"])
    if "text" in tables:
        problems += check_text(tables["text"], non_print=True)
    return problems


def fix(folder: str | Path) -> tuple[int, int, list[Problem]]:
    """Mend the tables of `folder`; the originals are kept in `folder`/.backup.

    An utterance is kept if it is in every table, its audio is whole and its transcript not empty.
    Returns (utterances kept, utterances before, reasons for what was dropped by its content).
    Raises FileNotFoundError if there is nothing to mend, ValueError if nothing would be left.
    """
    folder = Path(folder)
    tables = read_all(folder)
    reasons = unusable(tables)
    dropped = {(problem.file.name, problem.line) for problem in reasons}
    for name, table in tables.items():
        lines = table.lines
        table.values = {key: value for key, value in table.values.items() if (name, lines.get(key)) not in dropped}
    if "segments" in tables:
        bad = check_segments(tables["segments"], tables.get("wav.scp"))
        bad_lines = {problem.line for problem in bad}
        segments = tables["segments"]
        segments.values = {key: value for key, value in segments.values.items() if segments.lines[key] not in bad_lines}
        reasons += bad
    by_utterance = [table for name, table in tables.items() if not (name == "wav.scp" and "segments" in tables)]
    before = len(set().union(*(table.lines or table.values for table in by_utterance)))
    kept = set.intersection(*(set(table.values) for table in by_utterance))
    if not kept:
        raise ValueError(f"{folder}: no utterance is usable and in every file; nothing was changed")
    save(folder, tables, kept)
    return len(kept), before, reasons


def save(folder: Path, tables: dict[str, Table], kept: set[str]) -> None:
    """Back the tables up and write those of the kept utterances."""
    backup = folder / ".backup"
    backup.mkdir(exist_ok=True)
    for name in (*tables, "spk2utt"):
        if (folder / name).is_file():
            shutil.copy2(folder / name, backup / name)
    keep = {name: kept for name in tables}
    if "segments" in tables:
        keep["wav.scp"] = {tables["segments"].values[key].split()[0] for key in kept}
    for name, table in tables.items():
        rows = {key: value for key, value in table.values.items() if key in keep[name]}
        write_table(folder / name, rows)
        if name == "utt2spk":
            write_table(folder / "spk2utt", invert(rows))
