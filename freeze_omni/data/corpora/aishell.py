"""AISHELL-1 (openslr 33): transcript/aishell_transcript_v0.8.txt and wav/{train,dev,test}/<speaker>/<id>.wav."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, folders_in, lines_of, option

TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"
_SPEAKER = slice(6, 11)  # of BAC009S0002W0122
SETS = ("train", "dev", "test")


@dataclass(frozen=True)
class Aishell(Corpus):
    """Mandarin; spaces between words are removed from the transcripts, as in ESPnet."""

    role = "asr"
    source = "https://www.openslr.org/33"
    archive = ("data_aishell", TRANSCRIPT)
    root: Path = option(None, "the folder data_aishell, or the one that holds it")

    def sets(self, work: Path) -> dict[str, list[str]]:
        folder = self.folder
        there = [name for name in SETS if (folder / "wav" / name).is_dir()]
        found = {name: [f"wav/{name}/{who}" for who in folders_in(folder / "wav" / name)] for name in there}
        if not found and any((folder / "wav").glob("*.tar.gz")):
            raise CorpusError(
                f"{folder}/wav: the speakers' archives are still packed; run"
                f" `cd {folder}/wav && for file in *.tar.gz; do tar xzf $file; done`"
            )
        return found

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self.folder
        texts = read_transcripts(folder / TRANSCRIPT)
        speaker = part.rsplit("/", 1)[1]
        keys = {name.removesuffix(".wav") for name in os.listdir(folder / part) if name.endswith(".wav")}
        for key in sorted(keys):
            path = f"{folder}/{part}/{key}.wav"
            if key in texts:
                yield Utterance(key, speaker, texts[key].replace(" ", ""), path)
            else:
                yield Skipped(path, "no transcript for the audio")
        silent = [key for key in texts if key[_SPEAKER] == speaker and key not in keys]
        yield from (Skipped(f"{folder}/{part}/{key}.wav", "no audio for the transcript") for key in silent)


@cache
def read_transcripts(path: Path) -> dict[str, str]:
    """Id to words, read once in a process. Raises CorpusError."""
    texts: dict[str, str] = {}
    for number, line in enumerate(lines_of(path), start=1):
        key, _, text = line.partition(" ")
        if not text.strip():
            raise CorpusError(f"{path}:{number}: expected `<id> <words>`; unpack the archive again")
        if texts.setdefault(key, text) != text:
            raise CorpusError(f"{path}:{number}: the id {key} has two transcripts; take one out")
    return texts
