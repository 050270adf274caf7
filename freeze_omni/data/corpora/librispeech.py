"""LibriSpeech (openslr 12): <subset>/<reader>/<chapter>/<reader>-<chapter>.trans.txt with FLAC files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from freeze_omni.data.corpora.base import CorpusError, Item, Skipped, Utterance, inside, lines_of, option

SUBSETS = (
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
)


@dataclass(frozen=True)
class LibriSpeech:
    """Sets are the subsets, with ESPnet's names: train_clean_100, dev_other, ..."""

    role: ClassVar[str] = "asr"
    source: ClassVar[str] = "https://www.openslr.org/12"
    root: Path = option(None, "the folder LibriSpeech, or the one that holds it")

    def sets(self, work: Path) -> dict[str, list[str]]:
        found = {}
        for subset in SUBSETS:
            folder = self._folder() / subset
            if folder.is_dir():
                chapters = [f"{subset}/{speaker}/{chapter}" for speaker, chapter in _two_levels(folder)]
                if not chapters:
                    raise CorpusError(f"{folder}: no <reader>/<chapter> folders; unpack {subset}.tar.gz again")
                found[subset.replace("-", "_")] = chapters
        return found

    def _folder(self) -> Path:
        for subset in SUBSETS:
            for folder in (self.root, self.root / "LibriSpeech"):
                if (folder / subset).is_dir():
                    return folder
        return inside(self.root, "LibriSpeech", SUBSETS[0])

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self._folder() / part
        _, speaker, chapter = part.split("/")
        table = folder / f"{speaker}-{chapter}.trans.txt"
        if not table.is_file():
            yield Skipped(str(table), "the chapter has no transcripts")
            return
        audio = {file.removesuffix(".flac") for file in os.listdir(folder) if file.endswith(".flac")}
        for line in lines_of(table):
            key, _, text = line.partition(" ")
            audio.discard(key)
            yield Utterance(key, speaker, text, f"{folder}/{key}.flac")
        yield from (Skipped(f"{folder}/{key}.flac", "no transcript for the audio") for key in sorted(audio))


def _two_levels(folder: Path) -> Iterator[tuple[str, str]]:
    """(speaker, chapter) of a tree of folders, sorted."""
    for speaker in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
        for chapter in sorted(entry.name for entry in os.scandir(folder / speaker) if entry.is_dir()):
            yield speaker, chapter
