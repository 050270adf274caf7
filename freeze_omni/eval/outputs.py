"""Outputs of another system: texts and sounds by utterance, and where it speaks, from the level of its sound."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from freeze_omni.config import one_line
from freeze_omni.data.rows import ROW_FILES, read_rows
from freeze_omni.data.tables import TableError, read_lines, read_table
from freeze_omni.eval.fields import TABLE, TRN, UNNAMED, Columns, Fields, by_known_ids, texts_of

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
_TRN_LINE = re.compile(r"(.*)\((\S+)\)\s*")


def read_texts(path: Path, known: Sequence[str] = (), fields: Fields = UNNAMED, others: Columns = ()) -> dict[str, str]:
    """Id to text: of a Kaldi `text`, a .trn, rows with fields, or a folder with one of them or with <id>.txt.

    known, others: the test set's ids in its order, and what else names its items (`by_known_ids`). fields: what the
    user says about the rows. Raises TableError.
    """
    files = text_files(path)
    if not files:
        raise TableError(f"{path}: no `text` (lines `<id> <words>`), .trn, .jsonl, .csv or <id>.txt files in it")
    if path.is_dir() and files[0].suffix == ".txt":
        texts = {file.stem: "\n".join(read_lines(file)).strip() for file in files}
        return by_known_ids(texts, known, path, others)
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:3])
        raise TableError(f"{path}: several files of texts in it ({names}); name one of them")
    return by_known_ids(_read_file(files[0], known, fields), known, files[0], others)


def text_files(path: Path) -> list[Path]:
    """The file itself, unless it lists sounds; a folder's files of outputs or, without any, its <id>.txt."""
    if not path.exists():
        raise TableError(f"{path}: no such file or folder; correct --outputs")
    if not path.is_dir():
        return [] if path.suffix == ".scp" else [path]
    if (path / "text").is_file() and (path / "decode.json").is_file():
        return [path / "text"]  # a decoding of ours, with its records beside it
    tables = [path / name for name in ("text", "hyp") if (path / name).is_file()]
    tables += [file for file in sorted(path.glob("*.trn")) if not file.stem.startswith("ref")]
    tables += [file for file in sorted(path.glob("*")) if file.suffix in ROW_FILES and file.suffix != ".json"]
    return tables or sorted(path.glob("*.json")) or sorted(path.glob("*.txt"))


def _read_file(path: Path, known: Sequence[str], fields: Fields) -> dict[str, str]:
    if path.suffix == ".trn" or fields.form == TRN:
        return _read_trn(path, known)
    if path.suffix in ROW_FILES and fields.form != TABLE:
        return texts_of(path, list(read_rows(path)), fields, known)
    if fields.id or fields.output:
        raise TableError(f"{path}: has no named fields; {fields.option} is for {', '.join(ROW_FILES)}")
    texts = read_table(path, need_value=False)
    if wide := next((key for key, text in texts.items() if "\t" in text), None):
        raise TableError(
            f"{path}: {wide} has three columns; keep its id and the output, or make it a .tsv with a header"
        )
    return texts


def _read_trn(path: Path, known: Sequence[str]) -> dict[str, str]:
    """Lines `words (id)` of sclite; ESPnet writes `(speaker-id)`."""
    texts, ids = {}, set(known)
    for number, line in enumerate(read_lines(path), start=1):
        found = _TRN_LINE.fullmatch(line)
        if found is None:
            raise TableError(f"{path}:{number}: expected `words (id)`; correct the line")
        parts = found[2].split("-")
        tails = ("-".join(parts[place:]) for place in range(len(parts)))
        key = next((tail for tail in tails if tail in ids), found[2])
        if key in texts:
            raise TableError(f"{path}:{number}: the id {key} comes twice; remove one line")
        texts[key] = found[1].strip()
    return texts


def read_numbers(path: Path) -> dict[str, list[float]]:
    """Lines `<id> <number> ...`. Raises TableError."""
    found = {}
    for number, (key, value) in enumerate(read_table(path, need_value=False).items(), start=1):
        try:
            found[key] = [float(word) for word in value.split()]
        except ValueError:
            found[key] = [math.nan]
        if not all(map(math.isfinite, found[key])):
            raise TableError(f"{path}:{number}: expected `<id> <seconds> ...`; correct the line")
    return found


def read_sounds(path: Path, known: Sequence[str] = (), others: Columns = ()) -> dict[str, str]:
    """Id to sound: a wav.scp, or a folder with one, <id>.wav or [<task>/]<id>/output.wav. Raises TableError."""
    if not path.exists():
        raise TableError(f"{path}: no such file or folder; correct --outputs")
    if path.is_file() or (path / "wav.scp").is_file():
        table = path if path.is_file() else path / "wav.scp"
        return by_known_ids(read_table(table), known, table, others)
    found: dict[str, str] = {}
    for key, file in _sound_files(path):
        if key in found:
            raise TableError(f"{path}: two sounds of {key}, {Path(found[key]).name} and {file.name}; remove one")
        found[key] = str(file)
    if not found:
        raise TableError(f"{path}: no wav.scp, no sound files <id>.wav and no <id>/output.wav in it")
    return by_known_ids(found, known, path, others)


def has_sounds(folder: Path) -> bool:
    """Whether `read_sounds` would find any."""
    return (folder / "wav.scp").is_file() or bool(_sound_files(folder))


def _sound_files(folder: Path) -> list[tuple[str, Path]]:
    """Ids and files of a folder: of the first form that it has."""
    named = [(file.stem, file) for file in sorted(folder.glob("*")) if file.suffix.lower() in SOUNDS]
    inside = [(file.parent.name, file) for file in sorted(folder.glob("*/output.wav"))]
    tasks = [(f"{file.parent.parent.name}/{file.parent.name}", file) for file in sorted(folder.glob("*/*/output.wav"))]
    return named or inside or tasks


def match(references: Mapping[str, object], found: Mapping[str, object], where: Path) -> list[str]:
    """Warnings about missing and unknown ids. Raises TableError if no id is known."""
    if not any(key in found for key in references):
        have, want = next(iter(found), "none"), next(iter(references), "none")
        raise TableError(f"{where}: none of its ids (as {one_line(have)}) is one of the test set (as {one_line(want)})")
    warnings = []
    if missing := [key for key in references if key not in found]:
        warnings.append(f"{len(missing)} of {len(references)} are missing, as {one_line(missing[0])}: counted as empty")
    if strangers := [key for key in found if key not in references]:
        warnings.append(f"{len(strangers)} are not of the test set, as {one_line(strangers[0])}: left out")
    return warnings


def match_texts(references: Mapping[str, str], texts: Mapping[str, str], outputs: Path, source: Path) -> list[str]:
    """`match` of transcripts with those of the table `source`. Raises TableError if they are the same file."""
    if source.exists() and any(file.samefile(source) for file in text_files(outputs)):
        raise TableError(f"{outputs}: these are the reference texts of the test set; correct --outputs")
    notes = match(references, texts, outputs)
    if len(references) > 1 and all(texts.get(key) == text for key, text in references.items()):
        notes.append("every output is its reference, letter for letter: are these the outputs?")
    return notes


Span = tuple[float, float]
MERGE_S = 0.5  # Full-Duplex-Bench's: a shorter silence does not split what a model says
_FRAME_S = 0.02
_FLOOR_DB = -40.0
_SILENT = 1e-4
_SHORTEST_S = 0.06


def speech_segments(wav: np.ndarray, hz: int, merge_s: float = MERGE_S, breaks_s: Sequence[float] = ()) -> list[Span]:
    """(start, end) in seconds of what sounds in (S,): frames of 20 ms within 40 dB of the loudest.

    merge_s: silences up to this are inside a segment, unless one of breaks_s, where something new begins, ends them.
    """
    frame = max(round(_FRAME_S * hz), 1)
    count = len(wav) // frame
    level = np.sqrt(np.mean(wav[: count * frame].reshape(count, frame) ** 2, axis=1)) if count else np.zeros(0)
    if not count or level.max() < _SILENT:
        return []
    loud = level > level.max() * 10 ** (_FLOOR_DB / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    merged: list[Span] = []
    for start, end in edges.reshape(-1, 2).tolist():
        start_s, end_s = start * frame / hz, end * frame / hz
        last_s = merged[-1][1] if merged else -np.inf
        split = any(last_s - _FRAME_S <= at_s <= start_s + _FRAME_S for at_s in breaks_s)
        if start_s - last_s <= merge_s and merged and not split:
            merged[-1] = (merged[-1][0], end_s)
        else:
            merged.append((start_s, end_s))
    return [(start_s, end_s) for start_s, end_s in merged if end_s - start_s >= _SHORTEST_S]


def clipped(segments: Sequence[Span], start_s: float, end_s: float) -> list[Span]:
    cut = [(max(begin, start_s), min(end, end_s)) for begin, end in segments]
    return [(begin, end) for begin, end in cut if end > begin]
