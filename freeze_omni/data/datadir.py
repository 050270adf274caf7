"""Check a Kaldi data directory: what is wrong, in plain words, with file and line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from freeze_omni.data import dialogue_checks
from freeze_omni.data.audio_header import AudioError, read_header
from freeze_omni.data.checked_table import Problem, Table, read_table
from freeze_omni.data.question_checks import check_questions

ROLES = ("asr", "tts", "qa", "dialogue")
PER_UTTERANCE = ("feats.scp", "utt2dur", "utt2lang", "utt2num_samples", "utt2uniq", "answer")
SPOKEN = ("wav.scp", "segments", "text", "utt2spk", *PER_UTTERANCE)
SCENES = ("wav.scp", "text", "utt2spk", "utt2num_samples")
# What is looked at for each role; docs/data_dir.md describes each of them.
FILES = {
    "asr": (*SPOKEN, "spk2utt"),
    "tts": (*SPOKEN, "spk2utt"),
    "qa": ("questions.jsonl",),
    "dialogue": (*SCENES, "spk2utt", *dialogue_checks.FILES),
}
UNPRINTABLE = ("Cc", "Co", "Cn", "Cs")  # Unicode: control, private, unassigned, surrogate


def validate(
    folder: str | Path,
    role: str | None = None,
    feats: bool = False,
    wav: bool = True,
    text: bool = True,
    non_print: bool = False,
) -> list[Problem]:
    """All problems of a data directory, in the order of its files; an empty list means it is fine.

    Args:
        role: asr, tts (audio, text and speakers), qa (questions.jsonl) or dialogue (a set of stage
            4, where a scene may be without words); None checks what the flags ask for.
        feats, wav, text: whether feats.scp, wav.scp and text must be there.
        non_print: allow characters in `text` that cannot be printed.
    """
    folder = Path(folder)
    if role is not None and role not in ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    if not folder.is_dir():
        return [Problem(folder, 0, "no such directory; run the stage that makes it (stage 1)")]
    if role == "qa":
        return check_questions(folder / "questions.jsonl")
    problems: list[Problem] = []
    wanted = {"wav.scp": wav, "text": text, "feats.scp": feats, "utt2spk": True}
    tables = {}
    for name in SCENES if role == "dialogue" else SPOKEN:
        if (folder / name).is_file():
            tables[name] = read_table(folder / name, problems)
            if not tables[name].values:
                problems.append(Problem(folder / name, 0, "is empty: there is no utterance in it"))
        elif wanted.get(name):
            problems.append(Problem(folder / name, 0, "is missing"))
    if "wav.scp" in tables:
        problems += check_audio(tables["wav.scp"])
    if "segments" in tables:
        problems += check_segments(tables["segments"], tables.get("wav.scp"))
    if role == "dialogue" and "wav.scp" in tables:
        problems += dialogue_checks.check_dialogue(folder, tables["wav.scp"])
    elif "text" in tables:
        problems += check_text(tables["text"], non_print)
    problems += check_ids(tables)
    if "utt2spk" in tables:
        problems += check_speakers(tables["utt2spk"], folder / "spk2utt")
    return problems


def check_audio(table: Table) -> list[Problem]:
    """Every file named in wav.scp must be there and whole; commands (ending in |) are not run."""
    problems = []
    for key, value in table.values.items():
        if value.endswith("|"):
            continue
        reason = "no file name" if not value else None
        path, _, offset = value.rpartition(":")
        if path and offset.isdigit():  # a place in an archive
            reason = None if Path(path).is_file() else f"{path}: there is no such archive"
        elif value:
            try:
                read_header(value)
            except AudioError as error:
                reason = f"{value}: {error}"
            except OSError as error:
                reason = f"{value}: {error.strerror}"
        if reason:
            problems.append(Problem(table.path, table.lines[key], f"{key}: {reason}"))
    return problems


def check_segments(table: Table, recordings: Table | None) -> list[Problem]:
    """Each line `<id> <recording> <start s> <end s>` names a recording, ends after its start."""
    problems = []
    for key, value in table.values.items():
        parts = value.split()
        try:
            recording, start, end = parts[0], float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            reason = "wanted: <id> <recording> <start in s> <end in s>"
        else:
            reason = None
            if recordings is not None and recording not in recordings.values:
                reason = f"recording {recording} is not in {recordings.path.name}"
            elif not 0 <= start < end:
                reason = f"{key} starts at {start} s and ends at {end} s"
        if reason:
            problems.append(Problem(table.path, table.lines[key], reason))
    return problems


def unprintable(text: str) -> str | None:
    """The first control, private or replacement character of `text`, as U+XXXX, or None."""
    if text.isascii() and text.isprintable():
        return None
    for char in text:
        if char in "\ufeff\ufffd" or unicodedata.category(char) in UNPRINTABLE:
            return f"U+{ord(char):04X}"
    return None


def check_text(table: Table, non_print: bool) -> list[Problem]:
    """No transcript may be empty or (unless allowed) hold characters that cannot be printed."""
    problems = []
    for key, value in table.values.items():
        bad = None if non_print else unprintable(value)
        if not value:
            problems.append(Problem(table.path, table.lines[key], f"{key} has no transcript"))
        elif bad:
            text = f"{key} has the unprintable character {bad} (allowed with --non-print)"
            problems.append(Problem(table.path, table.lines[key], text))
    return problems


def check_ids(tables: dict[str, Table]) -> list[Problem]:
    """All files must speak of the same utterances as the one that defines them."""
    bases = [tables[name] for name in ("segments", "wav.scp", "utt2spk") if name in tables]
    if not bases:
        return []
    base = bases[0]
    problems = []
    for name, table in tables.items():
        if table is base or (name == "wav.scp" and "segments" in tables):
            continue
        for key in missing(base.values, table.values):
            text = f"{key} is not in {name}"
            problems.append(Problem(base.path, base.lines[key], text))
        for key in missing(table.values, base.values):
            text = f"{key} is not in {base.path.name}"
            problems.append(Problem(table.path, table.lines[key], text))
    return problems


def missing(keys: Iterable[str], there: dict[str, str]) -> list[str]:
    """The keys that are not in `there`, in their order."""
    return [key for key in keys if key not in there]


def check_speakers(utt2spk: Table, path: Path) -> list[Problem]:
    """utt2spk needs one speaker an utterance, and spk2utt must say the same the other way round."""
    problems = [
        Problem(utt2spk.path, utt2spk.lines[key], f"{key}: wanted one speaker, found {speaker!r}")
        for key, speaker in utt2spk.values.items()
        if len(speaker.split()) != 1
    ]
    if not path.is_file():
        return [*problems, Problem(path, 0, "is missing; utils/fix_data_dir.sh makes it")]
    spk2utt = read_table(path, problems)
    given = {}
    for speaker, utterances in spk2utt.values.items():
        for key in utterances.split():
            given[key] = speaker
            if utt2spk.values.get(key) != speaker:
                text = f"{key} of speaker {speaker} is not so in utt2spk"
                problems.append(Problem(path, spk2utt.lines[speaker], text))
    for key in missing(utt2spk.values, given):
        problems.append(Problem(utt2spk.path, utt2spk.lines[key], f"{key} is not in spk2utt"))
    return problems
