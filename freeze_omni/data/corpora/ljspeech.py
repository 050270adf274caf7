"""LJSpeech 1.1: metadata.csv (id|text|normalised text) and wavs/<id>.wav, one voice."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, in_range, option, ranges

SPEAKER = "LJ"


@dataclass(frozen=True)
class LjSpeech(Corpus):
    """Sets as in ESPnet: the last utterances are dev and eval1, the others are tr_no_dev."""

    role = "tts"
    source = "https://keithito.com/LJ-Speech-Dataset"
    archive = ("LJSpeech-1.1", "metadata.csv")
    root: Path = option(None, "the folder LJSpeech-1.1, or the one that holds it")
    held_out: int = option(250, "utterances of dev, and as many of eval1")

    def sets(self, work: Path) -> dict[str, list[str]]:
        count = len(self.lines("metadata.csv"))
        if count <= 2 * self.held_out:
            raise CorpusError(f"{self.root}: {count} utterances are too few for --held_out {self.held_out}")
        dev, evaluation = count - 2 * self.held_out, count - self.held_out
        return {"tr_no_dev": ranges(dev), "dev": [f"{dev}:{evaluation}"], "eval1": [f"{evaluation}:{count}"]}

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self.folder
        for line in self.lines("metadata.csv")[in_range(part)]:
            columns = line.split("|")
            if len(columns) != 3:
                yield Skipped(columns[0], "not a line `id|text|normalised text`")
                continue
            key = columns[0]
            yield Utterance(f"{SPEAKER}-{key}", SPEAKER, columns[2] or columns[1], f"{folder}/wavs/{key}.wav")
