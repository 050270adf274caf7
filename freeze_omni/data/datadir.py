"""Check a Kaldi data directory, a set of questions or a dialogue set: each problem with its file and line."""

import os
import unicodedata
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.archives import file_of
from freeze_omni.data.audio import AudioError, read_header
from freeze_omni.data.checked_table import CheckedTable, Problem
from freeze_omni.data.ids import id_fault
from freeze_omni.data.tables import TableError, each_line, parse_json, parse_segment

ROLES = ("asr", "tts", "qa", "dialogue")
PER_UTTERANCE = ("feats.scp", "utt2corpus", "utt2dur", "utt2lang", "utt2num_samples", "utt2uniq", "answer")
SPOKEN = ("wav.scp", "segments", "text", "utt2spk", *PER_UTTERANCE)
SCENES = ("wav.scp", "text", "utt2spk", "utt2num_samples")
ANSWERED = ("answer", "answer_wav.scp", "utt2question")  # tables of those scenes that ask for an answer
OF_SYSTEM = ("played.scp", "reference.scp")  # what the system says in a scene, and the echo reference of that
# The files that each role checks; docs/data.md describes them.
FILES = {
    "asr": (*SPOKEN, "spk2utt"),
    "tts": (*SPOKEN, "spk2utt"),
    "qa": ("questions.jsonl",),
    "dialogue": (*SCENES, "spk2utt", "states", "scene", *ANSWERED, "history", *OF_SYSTEM, "questions.jsonl"),
}
STATES = ("0", "1", "2", "3", "-1")
SEGMENT_KINDS = ("complete", "cutoff", "backchannel", "noise", "side", "echo", "wait")
QUESTION_KEYS = {"id": str, "question": str, "answers": list, "kind": str, "phrasing": (str, int)}
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

    role: asr, tts (audio, text and speakers), qa (questions.jsonl) or dialogue (a set of stage 4, where a scene may be
        without words); None checks what the flags ask for.
    feats, wav, text: whether feats.scp, wav.scp and text are required.
    non_print: allow characters in `text` that cannot be printed.
    """
    folder = Path(folder)
    if role is not None and role not in ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    if not folder.is_dir():
        return [Problem(folder, 0, "no such directory; run the stage that makes it (stage 1)")]
    if role == "qa":
        return list(check_questions(folder / "questions.jsonl"))
    problems: list[Problem] = []
    required = {"wav.scp": wav, "text": text, "feats.scp": feats, "utt2spk": True}
    tables = {}
    for name in SCENES if role == "dialogue" else SPOKEN:
        if (folder / name).is_file():
            tables[name] = CheckedTable(folder / name, problems)
            if not tables[name]:
                problems.append(Problem(folder / name, 0, "is empty: there is no utterance in it"))
        elif required.get(name):
            problems.append(Problem(folder / name, 0, "is missing"))
    if "wav.scp" in tables:
        problems += check_audio(tables["wav.scp"])
    if "segments" in tables:
        problems += check_segments(tables["segments"], tables.get("wav.scp"))
    if role == "dialogue" and "wav.scp" in tables:
        problems += check_dialogue(folder, tables["wav.scp"])
    elif "text" in tables:
        problems += check_text(tables["text"], non_print)
    problems += check_ids(tables)
    if "utt2spk" in tables:
        problems += check_speakers(tables["utt2spk"], folder / "spk2utt")
    return problems


def check_audio(table: CheckedTable) -> Iterator[Problem]:
    """Every file named in wav.scp must exist and be whole; commands (ending in |) are not run."""
    for row in table.rows():
        key, value, _ = row
        place = file_of(value)
        if place is None:
            continue
        reason = None if value else "no file name"
        if place[0] != value:
            reason = None if os.path.isfile(place[0]) else f"{place[0]}: there is no such archive"
        elif value:
            try:
                read_header(value)
            except AudioError as error:
                reason = f"{value}: {error}"
        if reason:
            yield table.problem(row, f"{key}: {reason}")


def check_segments(table: CheckedTable, recordings: CheckedTable | None) -> Iterator[Problem]:
    """Each line `<id> <recording> <start s> <end s>` names a recording and ends after its start, or at -1: its end."""
    find = recordings.finder() if recordings is not None else lambda _: 0
    name = recordings.path.name if recordings is not None else ""
    for row in table.rows():
        try:
            recording = parse_segment(row.value).recording
        except ValueError as error:
            yield table.problem(row, f"{row.key} {error}")
            continue
        if find(recording) is None:
            yield table.problem(row, f"recording {recording} is not in {name}")


def unprintable(text: str) -> str | None:
    """The first control, private or replacement character of `text`, as U+XXXX, or None."""
    bad = (char for char in text if char in "\ufeff\ufffd" or unicodedata.category(char) in UNPRINTABLE)
    found = None if text.isascii() and text.isprintable() else next(bad, None)
    return f"U+{ord(found):04X}" if found else None


def check_text(table: CheckedTable, non_print: bool) -> Iterator[Problem]:
    """No transcript may be empty or (unless allowed) hold characters that cannot be printed."""
    for row in table.rows():
        bad = None if non_print else unprintable(row.value)
        if not row.value:
            yield table.problem(row, f"{row.key} has no transcript")
        elif bad:
            yield table.problem(row, f"{row.key} has the unprintable character {bad} (allowed with --non-print)")


def check_ids(tables: dict[str, CheckedTable]) -> Iterator[Problem]:
    """All files must have the same utterances as the one that defines them."""
    bases = [tables[name] for name in ("segments", "wav.scp", "utt2spk") if name in tables]
    for name, table in tables.items() if bases else ():
        if table is not bases[0] and not (name == "wav.scp" and "segments" in tables):
            yield from _missing(bases[0], table, name)
            yield from _missing(table, bases[0], bases[0].path.name)


def _missing(table: CheckedTable, known: CheckedTable | Container[str], name: str) -> Iterator[Problem]:
    """Ids of the table that are not among the `known` ones of the file `name`."""
    find = known.finder() if isinstance(known, CheckedTable) else lambda key: 0 if key in known else None
    for row in table.rows():
        if find(row.key) is None:
            yield table.problem(row, f"{row.key} is not in {name}")


def check_names(utt2spk: CheckedTable) -> Iterator[Problem]:
    """utt2spk has one speaker an utterance, whose name follows the rule for ids."""
    for row in utt2spk.rows():
        if len(row.value.split()) != 1:
            yield utt2spk.problem(row, f"{row.key}: wanted one speaker, found {row.value!r}")
        elif fault := id_fault(row.value):
            yield utt2spk.problem(row, f"{row.key}: speaker {row.value!r}: {fault}; rename it")


def check_speakers(utt2spk: CheckedTable, path: Path) -> Iterator[Problem]:
    """utt2spk needs one speaker an utterance, and spk2utt must be its inverse."""
    yield from check_names(utt2spk)
    if not path.is_file():
        yield Problem(path, 0, "is missing; utils/fix_data_dir.sh makes it")
        return
    problems: list[Problem] = []
    spk2utt, find, given = CheckedTable(path, problems), utt2spk.finder(), bytearray(len(utt2spk))
    yield from problems
    for row in spk2utt.rows():
        for key in row.value.split():
            place = find(key)
            if place is not None:
                given[place] = 1
            if place is None or utt2spk.item(place)[1] != row.key:
                yield spk2utt.problem(row, f"{key} of speaker {row.key} is not so in utt2spk")
    for utterance, there in zip(utt2spk.rows(), given, strict=True):
        if not there:
            yield utt2spk.problem(utterance, f"{utterance.key} is not in spk2utt")


def check_questions(path: Path) -> Iterator[Problem]:
    """questions.jsonl: one JSON object a line with id, question, answers, kind and phrasing."""
    if not path.is_file():
        yield Problem(path, 0, "is missing")
        return
    seen: dict[str, int] = {}
    for number, item in _rows(path):
        if isinstance(item, Problem):
            yield item
            continue
        for key, kind in QUESTION_KEYS.items():
            if not isinstance(item.get(key), kind) or item[key] == "":
                yield Problem(path, number, f"{key!r} is missing, empty or of a wrong type")
        name = str(item.get("id"))
        if isinstance(item.get("id"), str) and name and (fault := id_fault(name)):
            yield Problem(path, number, f"{name!r}: {fault}; rename it")
        if seen.setdefault(name, number) != number:
            yield Problem(path, number, f"id {name} was already given in line {seen[name]}")
    if not seen:
        yield Problem(path, 0, "is empty: there is no question in it")


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers and objects of a JSON lines file; a Problem for each line that is no object."""
    try:
        for number, line in enumerate(each_line(path), start=1):
            yield number, _object(line, path, number)
    except TableError as error:
        yield 0, Problem(path, 0, str(error).removeprefix(f"{path}: "))


def _object(line: str, path: Path, number: int) -> dict[str, Any] | Problem:
    try:
        item = parse_json(line, "")
    except TableError as error:
        return Problem(path, number, str(error).removeprefix(": "))
    return item if isinstance(item, dict) else Problem(path, number, "not a JSON object in braces")


def check_dialogue(folder: Path, recordings: CheckedTable) -> list[Problem]:
    """Problems of states, scene, answered scenes, history, questions.jsonl; `recordings` (wav.scp) has the scenes."""
    needed = (folder / name for name in ("states", "scene"))
    problems = [Problem(path, 0, "is missing; stage 4 writes it") for path in needed if not path.is_file()]
    if (folder / "states").is_file():
        problems += _check_states(CheckedTable(folder / "states", problems), recordings)
    if (folder / "scene").is_file():
        problems += _check_scenes(folder / "scene", recordings)
    given = [folder / name for name in (*ANSWERED, "history", *OF_SYSTEM) if (folder / name).is_file()]
    tables = {path.name: CheckedTable(path, problems) for path in given}
    for table in tables.values():
        problems += _missing(table, recordings, recordings.path.name)
    if "history" in tables:
        problems += _check_history(tables["history"])
    if "utt2question" in tables:
        problems += check_questions(folder / "questions.jsonl")
        problems += _check_named(tables["utt2question"], folder / "questions.jsonl")
    return problems


def _check_states(table: CheckedTable, recordings: CheckedTable) -> Iterator[Problem]:
    for row in table.rows():
        if strange := [word for word in row.value.split() if word not in STATES]:
            yield table.problem(row, f"{row.key} has the state {strange[0]!r}, which is none of {' '.join(STATES)}")
    yield from _missing(recordings, table, table.path.name)


def _check_history(table: CheckedTable) -> Iterator[Problem]:
    """Each value is a JSON list of [user text, answer] pairs."""
    for row in table.rows():
        try:
            pairs = parse_json(row.value, row.key)
            good = all(isinstance(text, str) for user, answer in pairs for text in (user, answer))
        except (ValueError, TypeError):
            good = False
        if not good:
            yield table.problem(row, f"{row.key} has no JSON list of [user text, answer] pairs")


def _check_scenes(path: Path, recordings: CheckedTable) -> Iterator[Problem]:
    """One JSON object a line: id, and segments with kind, start_s and end_s."""
    found = set()
    for number, scene in _rows(path):
        try:
            found.add(scene["id"])
            parts = [(part["kind"], float(part["start_s"]), float(part["end_s"])) for part in scene["segments"]]
        except (ValueError, KeyError, TypeError):
            yield Problem(path, number, "no JSON object with id, and segments of kind, start_s and end_s")
            continue
        for kind, start_s, end_s in parts:
            if kind not in SEGMENT_KINDS:
                yield Problem(path, number, f"{scene['id']}: kind {kind!r} is none of {' '.join(SEGMENT_KINDS)}")
            if not 0 <= start_s < end_s:
                yield Problem(path, number, f"{scene['id']}: a segment starts at {start_s} s and ends at {end_s} s")
    yield from _missing(recordings, found, path.name)


def _check_named(named: CheckedTable, path: Path) -> Iterator[Problem]:
    """Every question of utt2question must be one of questions.jsonl."""
    if path.is_file():
        known = {row["id"] for _, row in _rows(path) if isinstance(row, Mapping) and "id" in row}
        for row in named.rows():
            if row.value not in known:
                yield named.problem(row, f"{row.key} asks {row.value}, which is not in {path.name}")
