"""Common Voice (any language): <language>/{train,dev,test,...}.tsv and <language>/clips/*.mp3."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import (
    Corpus,
    CorpusError,
    Item,
    Skipped,
    Utterance,
    in_range,
    lines_of,
    option,
    ranges,
)

SETS = ("train", "dev", "test", "validated", "other")
COLUMNS = ("client_id", "path", "sentence")
_SPEAKER_DIGITS = 16


@dataclass(frozen=True)
class CommonVoice(Corpus):
    """Sets as in ESPnet: train_<language>, dev_<language>, test_<language>; also validated_ and other_."""

    role = "asr"
    source = "https://commonvoice.mozilla.org/datasets"
    root: Path = option(None, "the folder cv-corpus-*, or the one of the language in it")
    language: str = option("en", "language code, as the folder is called")

    def _folder(self) -> Path:
        for folder in (self.root / self.language, self.root):
            if (folder / "clips").is_dir():
                return folder
        raise CorpusError(f"{self.root}: no {self.language}/clips in it; give the folder that the archive made")

    def sets(self, work: Path) -> dict[str, list[str]]:
        folder, language = self._folder(), self.language.replace("-", "_")
        tables = {name: folder / f"{name}.tsv" for name in SETS if (folder / f"{name}.tsv").is_file()}
        found = {
            f"{name}_{language}": [f"{name}.tsv {part}" for part in ranges(len(read_tsv(table)))]
            for name, table in tables.items()
        }
        if not found:
            raise CorpusError(f"{folder}: no train.tsv, dev.tsv or test.tsv; unpack the archive again")
        return found

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self._folder()
        file, rows = part.split(" ")
        for row in read_tsv(folder / file)[in_range(rows)]:
            clip = row["path"] if row["path"].endswith(".mp3") else f"{row['path']}.mp3"
            if not row["client_id"]:
                yield Skipped(clip, "no client_id")
                continue
            speaker = row["client_id"][:_SPEAKER_DIGITS]
            key = f"{speaker}-{clip.removesuffix('.mp3')}"
            yield Utterance(key, speaker, row["sentence"], f"{folder}/clips/{clip}")


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows by the column names of the first line, whose order differs between releases. Raises CorpusError."""
    rows = [line.split("\t") for line in lines_of(path) if line]  # without quotes: a sentence may begin with one
    head = rows[0] if rows else []
    missing = [column for column in COLUMNS if column not in head]
    if missing:
        raise CorpusError(f"{path}:1: no column '{missing[0]}'; this is not a list of Common Voice")
    places = {column: head.index(column) for column in COLUMNS}
    return [{name: row[at] if at < len(row) else "" for name, at in places.items()} for row in rows[1:]]
