"""AISHELL-3 (openslr 93): {train,test}/content.txt (`<id>.wav<tab>sign pinyin ...`) and {train,test}/wav/<speaker>/."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, Item, Skipped, Utterance, in_range, option, ranges, share_of

_SPEAKER_SIGNS = 7  # of SSB00050001


@dataclass(frozen=True)
class Aishell3(Corpus):
    """Sets: train_no_dev, dev (a share of the training part), test. The text has the characters, no pinyin."""

    role = "tts"
    source = "https://www.openslr.org/93"
    archive = ("data_aishell3", "train/content.txt")
    root: Path = option(None, "the folder with train/ and test/, or the one that holds it as data_aishell3")
    dev_share: float = option(0.01, "share of the training part that is dev")

    def sets(self, work: Path) -> dict[str, list[str]]:
        train, test = (ranges(len(self.lines(f"{which}/content.txt"))) for which in ("train", "test"))
        return {"train_no_dev": train, "dev": list(train), "test": test}

    def read(self, name: str, part: str) -> Iterator[Item]:
        which = "test" if name == "test" else "train"
        folder = self.folder / which / "wav"
        for line in self.lines(f"{which}/content.txt")[in_range(part)]:
            file, _, spelt = line.partition("\t")
            key = file.strip().removesuffix(".wav")
            if which == "train" and (share_of(key) < self.dev_share) != (name == "dev"):
                continue
            signs = spelt.split()[0::2]
            if not signs or not key.startswith("SSB"):
                yield Skipped(file or line, "not a line `<id>.wav<tab>sign pinyin ...`")
                continue
            speaker = key[:_SPEAKER_SIGNS]
            yield Utterance(key, speaker, "".join(signs), f"{folder}/{speaker}/{key}.wav")
