"""VERSA: reads a Kaldi directory; writes wav.scp of the answers (`--pred`) and their text (`--text`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import TableError, read_table, write_table
from freeze_omni.eval.suites.base import Answer, Item, SuiteError, check_wav

IN_TIME = False


def read(data: Path, work: Path) -> list[Item]:
    texts = read_table(data / "text", need_value=False) if (data / "text").is_file() else {}
    return [Item(key, sound, texts.get(key, "")) for key, sound in read_table(data / "wav.scp").items()]


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    spoken = {item.id: answers[item.id] for item in items if answers[item.id].sound}
    write_table(folder / "wav.scp", {key: Path(answer.sound).resolve() for key, answer in spoken.items()})
    write_table(folder / "text", {key: answer.text for key, answer in spoken.items()})


def check(folder: Path, items: Sequence[Item]) -> None:
    try:
        sounds, texts = read_table(folder / "wav.scp"), read_table(folder / "text", need_value=False)
    except TableError as error:
        raise SuiteError(str(error)) from None
    if set(sounds) != set(texts) or not set(sounds) <= {item.id for item in items}:
        raise SuiteError(f"{folder}: wav.scp and text have not the same ids, or others than the inputs")
    for sound in sounds.values():
        check_wav(Path(sound))
