"""LibriSpeech (openslr 12): <subset>/<reader>/<chapter>/<reader>-<chapter>.trans.txt with FLAC files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, folders_in, lines_of, option

SUBSETS = (
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
)


@dataclass(frozen=True)
class LibriSpeech(Corpus):
    """Sets are the subsets, with ESPnet's names: train_clean_100, dev_other, ..."""

    role = "asr"
    source = "https://www.openslr.org/12"
    archive = ("LibriSpeech", SUBSETS[0])
    root: Path = option(None, "the folder LibriSpeech, or the one that holds it")

    def sets(self, work: Path) -> dict[str, list[str]]:
        found, top = {}, self.folder
        for subset in SUBSETS:
            folder = top / subset
            if folder.is_dir():
                readers = folders_in(folder)
                chapters = [f"{subset}/{reader}/{name}" for reader in readers for name in folders_in(folder / reader)]
                if not chapters:
                    raise CorpusError(f"{folder}: no <reader>/<chapter> folders; unpack {subset}.tar.gz again")
                found[subset.replace("-", "_")] = chapters
        return found

    @property
    def folder(self) -> Path:
        for subset in SUBSETS:
            for folder in (self.root, self.root / self.archive[0]):
                if (folder / subset).is_dir():
                    return folder
        if not self.root.is_dir():
            return super().folder  # its error
        raise CorpusError(
            f"{self.root}: no subset (as {SUBSETS[0]}) in it, nor in {self.archive[0]} below it; fix --root"
        )

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self.folder / part
        _, speaker, chapter = part.split("/")
        table = folder / f"{speaker}-{chapter}.trans.txt"
        lines = lines_of(table) if table.is_file() else []
        audio = {file.removesuffix(".flac") for file in os.listdir(folder) if file.endswith(".flac")}
        if not lines and not audio:
            yield Skipped(str(table), "the chapter has neither transcripts nor audio")
        for line in lines:
            key, _, text = line.partition(" ")
            audio.discard(key)
            yield Utterance(key, speaker, text, f"{folder}/{key}.flac")
        yield from (Skipped(f"{folder}/{key}.flac", "no transcript for the audio") for key in sorted(audio))
