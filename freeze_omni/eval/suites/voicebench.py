"""VoiceBench: reads rows of its data set with `audio` and `prompt`; writes a .jsonl of them with `response`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.data.corpora.from_hf import FromHf, load
from freeze_omni.data.tables import write_jsonl
from freeze_omni.eval.suites.base import Answer, Item, SuiteError, only_file, read_answers

IN_TIME = False
WITH_REFERENCE = ("sd-qa", "openbookqa", "mmsu", "bbh")


def read(data: Path, work: Path) -> list[Item]:
    """A subset: a folder saved by the datasets library, or <hub name>@<subset>. Takes its only split, or `test`."""
    root, _, subset = str(data).partition("@")
    corpus = FromHf(Path(root), config=subset, text="prompt", audio_dir=work / "sound")
    splits = load(corpus)
    name = "test" if "test" in splits else next(iter(splits))
    if len(splits) > 1 and name != "test":
        raise SuiteError(f"{data}: several splits ({', '.join(splits)}); save the one that is meant to a folder")
    items = []
    for number, row in enumerate(splits[name]):
        sound = corpus.sound_of(row["audio"], name, f"{number:05d}")
        fields = {key: value for key, value in row.items() if key != "audio"}
        if sound is None:
            raise SuiteError(f"{data}, row {number}: no sound")
        items.append(Item(f"{number:05d}", sound, row["prompt"], fields))
    return items


def file_name(name: str, data: str) -> str:
    return f"{name}-{data}-test-audio.jsonl"


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    """<name>-<folder>-test-audio.jsonl."""
    rows = ({**item.fields, "response": answers[item.id].text} for item in items)
    write_jsonl(folder / file_name(name, folder.name), rows)


def check(folder: Path, items: Sequence[Item]) -> None:
    path = only_file(folder, "*-audio.jsonl")
    needed = ["prompt", "response", *(["reference"] if folder.name in WITH_REFERENCE else [])]
    rows = read_answers(path, items, needed)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row["response"], str) or "audio" in row:
            raise SuiteError(f"{path}:{number}: `response` must be a text, and `audio` left out")
