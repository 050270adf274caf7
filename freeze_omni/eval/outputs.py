"""Outputs of another system: texts and sounds by utterance, in common forms."""

from __future__ import annotations

from pathlib import Path

from freeze_omni.data.tables import TableError, read_table
from freeze_omni.eval.sets import json_lines

TEXT_KEYS = ("text", "answer", "response", "prediction", "pred", "hypothesis", "transcript")
ID_KEYS = ("id", "utt", "utterance", "key", "qid", "question_id", "audio_id")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


def read_texts(path: Path) -> dict[str, str]:
    """Id to text: a Kaldi `text`, a .jsonl with an id and a text, or a folder with one of them or with <id>.txt files.

    Raises TableError without any of these, or for a line that cannot be used.
    """
    if path.is_dir():
        tables = [path / name for name in ("text", "hyp.trn") if (path / name).is_file()] or sorted(
            path.glob("*.jsonl")
        )
        if len(tables) > 1:
            raise TableError(
                f"{path}: several .jsonl files ({tables[0].name}, {tables[1].name}, ...); name one of them"
            )
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
    """Id to sound file: a wav.scp, a folder with one, or sound files named by id (also <id>/output.wav).

    Raises TableError without sound.
    """
    if path.is_file():
        return read_table(path)
    if (path / "wav.scp").is_file():
        return read_table(path / "wav.scp")
    files = [file for file in sorted(path.glob("*")) if file.suffix in SOUNDS]
    found = {file.stem: str(file) for file in files}
    found = found or {file.parent.name: str(file) for file in sorted(path.glob("*/output.wav"))}
    if not found:
        raise TableError(f"{path}: no wav.scp, no sound files <id>.wav and no <id>/output.wav in it")
    return found


def match(references: dict[str, object], found: dict[str, object], where: Path) -> list[str]:
    """Warnings about missing and unknown ids. Raises TableError if no id is known."""
    known = [key for key in references if key in found]
    if not known:
        have, want = next(iter(found), "none"), next(iter(references), "none")
        raise TableError(f"{where}: none of its ids (as {have}) is one of the test set (as {want})")
    warnings = []
    if len(known) < len(references):
        missing = next(key for key in references if key not in found)
        warnings.append(
            f"{len(references) - len(known)} of {len(references)} are missing, as {missing}: counted as empty"
        )
    strangers = [key for key in found if key not in references]
    if strangers:
        warnings.append(f"{len(strangers)} are not of the test set, as {strangers[0]}: left out")
    return warnings
