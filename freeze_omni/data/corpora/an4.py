"""AN4 (CMU): etc/an4_{train,test}.transcription and wav/{an4_clstk,an4test_clstk}/<speaker>/<id>.sph."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, in_range, option, ranges

# `<s> YES </s> (an251-fash-b)`; the test list has no <s>
_LINE = re.compile(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((\w+)-(\w+)-(\w+)\)\s*$")
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}


@dataclass(frozen=True)
class An4(Corpus):
    """Sets as in ESPnet: train_dev (the first `dev` training utterances by id), train_nodev (the rest), test."""

    role = "asr"
    source = "http://www.speech.cs.cmu.edu/databases/an4"
    archive = ("an4", "etc/an4_train.transcription")
    root: Path = option(None, "the folder an4, or the one that holds it")
    dev: int = option(100, "utterances of the training list that train_dev has")

    def _lines(self, which: str) -> list[str]:
        return sorted(self.lines(f"etc/an4_{which}.transcription"), key=_sort_key)

    def sets(self, work: Path) -> dict[str, list[str]]:
        train, test = len(self._lines("train")), len(self._lines("test"))
        if train <= self.dev:
            raise CorpusError(f"{self.folder}: {train} training utterances are too few for --dev {self.dev}")
        sets = {"train_nodev": [f"train {self.dev}:{train}"], "train_dev": [f"train 0:{self.dev}"]}
        return sets | {"test": [f"test {part}" for part in ranges(test)]}

    def read(self, name: str, part: str) -> Iterator[Item]:
        which, rows = part.split(" ")
        for line in self._lines(which)[in_range(rows)]:
            found = _LINE.match(line)
            if found is None:
                yield Skipped(line, "not a line `WORDS (id)`")
                continue
            text, first, speaker, last = found.groups()
            audio = self.folder / "wav" / FOLDERS[which] / speaker / f"{first}-{speaker}-{last}.sph"
            yield Utterance(f"{speaker}-{first}-{last}", speaker, text, str(audio))


def _sort_key(line: str) -> tuple[str, ...]:
    found = _LINE.match(line)
    return (found[3], found[2], found[4]) if found else ("",)
