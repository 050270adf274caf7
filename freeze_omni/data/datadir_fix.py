"""Fix a Kaldi data directory: sort, drop what cannot be used, rebuild spk2utt, keep a backup."""

import shutil
from pathlib import Path

from freeze_omni.data import datadir
from freeze_omni.data.datadir import Problem, Table, read_table
from freeze_omni.data.tables import read_lines, write_lines, write_speakers, write_table

SKIPPED = "skipped"


def fix(folder: str | Path) -> tuple[int, int, list[Problem]]:
    """Fix the tables of `folder`; the originals are kept in `folder`/.backup.

    An utterance is kept if it is in every table under an id that follows the rule, its audio is whole and its
    transcript not empty. What is dropped is added to `folder`/skipped, with file, line and reason.
    Returns (utterances kept, utterances before, reasons for what was dropped).
    Raises FileNotFoundError if there is no table, ValueError if nothing would be left.
    """
    folder = Path(folder)
    tables, problems = _read_all(folder)
    reasons = [problem for problem in problems if not problem.mended]
    reasons += datadir.check_ids(tables)
    reasons += _drop_unusable(tables)
    by_utterance = [table for name, table in tables.items() if not (name == "wav.scp" and "segments" in tables)]
    before = len(set().union(*(table.lines or table.values for table in by_utterance)))
    kept = set.intersection(*(set(table.values) for table in by_utterance))
    if not kept:
        why = f" ({reasons[0]})" if reasons else ""
        raise ValueError(f"{folder}: no utterance is usable and in every file{why}; nothing was changed")
    _save(folder, tables, kept, reasons)
    return len(kept), before, reasons


def _read_all(folder: Path) -> tuple[dict[str, Table], list[Problem]]:
    """All tables, and problems of their lines; a missing utt2spk comes from spk2utt, or has a speaker an utterance."""
    problems: list[Problem] = []
    tables = {name: read_table(folder / name, problems) for name in datadir.SPOKEN if (folder / name).is_file()}
    if not tables:
        raise FileNotFoundError(f"{folder}: no wav.scp, text or utt2spk in it")
    if "utt2spk" not in tables:
        if (folder / "spk2utt").is_file():
            spk2utt = read_table(folder / "spk2utt", problems).values
            speakers = {key: speaker for speaker, keys in spk2utt.items() for key in keys.split()}
        else:
            base = tables.get("segments") or tables.get("wav.scp") or next(iter(tables.values()))
            speakers = {key: key for key in base.values}
        tables["utt2spk"] = Table(folder / "utt2spk", speakers, dict.fromkeys(speakers, 0))
    return tables, problems


def _drop_unusable(tables: dict[str, Table]) -> list[Problem]:
    """Take out entries whose content (not their id) makes them useless; returns the reasons."""
    reasons: list[Problem] = []
    for name, check in (
        ("wav.scp", datadir.check_audio),
        ("text", lambda table: datadir.check_text(table, non_print=True)),
        ("utt2spk", datadir.check_names),
        ("segments", lambda table: datadir.check_segments(table, tables.get("wav.scp"))),
    ):
        if table := tables.get(name):
            bad = list(check(table))
            lines = {problem.line for problem in bad}
            table.values = {key: value for key, value in table.values.items() if table.lines[key] not in lines}
            reasons += bad
    return reasons


def _save(folder: Path, tables: dict[str, Table], kept: set[str], reasons: list[Problem]) -> None:
    """Back the tables up and write those of the kept utterances, and why the others are not."""
    backup = folder / ".backup"
    backup.mkdir(exist_ok=True)
    for name in (*tables, "spk2utt"):
        if (folder / name).is_file():
            shutil.copy2(folder / name, backup / name)
    if reasons:  # what stage 1 has skipped stays in it
        earlier = read_lines(folder / SKIPPED) if (folder / SKIPPED).is_file() else []
        write_lines(folder / SKIPPED, [*earlier, *(f"{one.file.name}:{one.line}\t{one.text}" for one in reasons)])
    keep = {name: kept for name in tables}
    if "segments" in tables:
        keep["wav.scp"] = {tables["segments"].values[key].split()[0] for key in kept}
    for name, table in tables.items():
        rows = {key: value for key, value in table.values.items() if key in keep[name]}
        write_table(folder / name, rows)
        if name == "utt2spk":
            write_speakers(folder, rows)
