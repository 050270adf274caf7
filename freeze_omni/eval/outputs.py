"""Outputs of another system: texts and sounds by utterance, and where it speaks, from the level of its sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from freeze_omni.data.tables import TableError, read_table
from freeze_omni.eval.sets import json_lines

TEXT_KEYS = ("text", "answer", "response", "prediction", "pred", "hypothesis", "transcript")
ID_KEYS = ("id", "utt", "utterance", "key", "qid", "question_id", "audio_id")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


def read_texts(path: Path) -> dict[str, str]:
    """Id to text: of a Kaldi `text`, a .jsonl, or a folder with one of them or with <id>.txt. Raises TableError."""
    if path.is_dir():
        tables = [path / name for name in ("text", "hyp.trn") if (path / name).is_file()]
        tables = tables or sorted(path.glob("*.jsonl"))
        if len(tables) > 1:
            names = f"{tables[0].name}, {tables[1].name}, ..."
            raise TableError(f"{path}: several .jsonl files ({names}); name one of them")
        if not tables:
            texts = {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(path.glob("*.txt"))}
            if not texts:
                raise TableError(f"{path}: no `text` (lines `<id> <words>`), no .jsonl and no <id>.txt files in it")
            return texts
        path = tables[0]
    if path.suffix in (".jsonl", ".json"):
        return _read_jsonl(path)
    return read_table(path, need_value=False)


def _read_jsonl(path: Path) -> dict[str, str]:
    texts = {}
    for where, row in json_lines(path, hint="correct --outputs"):
        keys, found = ([row[name] for name in names if name in row] for names in (ID_KEYS, TEXT_KEYS))
        if not keys or not found:
            wanted = f"one of {', '.join(ID_KEYS)} and one of {', '.join(TEXT_KEYS)}"
            raise TableError(f"{where}: no JSON object with {wanted}; correct the line")
        if str(keys[0]) in texts:
            raise TableError(f"{where}: the id {keys[0]} comes twice")
        texts[str(keys[0])] = str(found[0] or "")
    return texts


def read_numbers(path: Path) -> dict[str, list[float]]:
    """Lines `<id> <number> ...`. Raises TableError."""
    found = {}
    for number, (key, value) in enumerate(read_table(path, need_value=False).items(), start=1):
        try:
            found[key] = [float(word) for word in value.split()]
        except ValueError:
            raise TableError(f"{path}:{number}: expected `<id> <seconds> ...`") from None
    return found


def read_sounds(path: Path) -> dict[str, str]:
    """Id to sound: a wav.scp, a folder with one, or with <id>.wav or <id>/output.wav. Raises TableError."""
    if path.is_file() or (path / "wav.scp").is_file():
        return read_table(path if path.is_file() else path / "wav.scp")
    found = {file.stem: str(file) for file in sorted(path.glob("*")) if file.suffix in SOUNDS}
    found = found or {file.parent.name: str(file) for file in sorted(path.glob("*/output.wav"))}
    if not found:
        raise TableError(f"{path}: no wav.scp, no sound files <id>.wav and no <id>/output.wav in it")
    return found


def match(references: dict[str, object], found: dict[str, object], where: Path) -> list[str]:
    """Warnings about missing and unknown ids. Raises TableError if no id is known."""
    if not any(key in found for key in references):
        have, want = next(iter(found), "none"), next(iter(references), "none")
        raise TableError(f"{where}: none of its ids (as {have}) is one of the test set (as {want})")
    warnings = []
    if missing := [key for key in references if key not in found]:
        warnings.append(f"{len(missing)} of {len(references)} are missing, as {missing[0]}: counted as empty")
    if strangers := [key for key in found if key not in references]:
        warnings.append(f"{len(strangers)} are not of the test set, as {strangers[0]}: left out")
    return warnings


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
    """The parts of the segments between two times."""
    cut = [(max(begin, start_s), min(end, end_s)) for begin, end in segments]
    return [(begin, end) for begin, end in cut if end > begin]
