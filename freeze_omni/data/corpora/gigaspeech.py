"""GigaSpeech: GigaSpeech.json and audio/{audiobook,podcast,youtube}/.../<recording>.opus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from freeze_omni.data.corpora.audios_json import read_audios, split_audios
from freeze_omni.data.corpora.base import CorpusError, Item, Skipped, Utterance, inside, option

TRAIN = ("XS", "S", "M", "L", "XL")
PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
NO_SPEECH = {"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"}


@dataclass(frozen=True)
class GigaSpeech:
    """Sets: train_xl (or _l, _m, _s, _xs), dev, test. Speakers are unknown: one an utterance."""

    role: ClassVar[str] = "asr"
    source: ClassVar[str] = "https://github.com/SpeechColab/GigaSpeech"
    root: Path = option(None, "the folder with GigaSpeech.json and audio/")
    subset: str = option("XL", f"training subset: {', '.join(TRAIN)}")
    punctuation: bool = option(False, "write its punctuation instead of leaving it out")

    def __post_init__(self) -> None:
        if self.subset not in TRAIN:
            raise CorpusError(f"--subset {self.subset}: one of {', '.join(TRAIN)}")

    def _folder(self) -> Path:
        return inside(self.root, "GigaSpeech", "GigaSpeech.json")

    def sets(self, work: Path) -> dict[str, list[str]]:
        wanted = {f"{{{self.subset}}}": f"train_{self.subset.lower()}", "{DEV}": "dev", "{TEST}": "test"}
        return split_audios(self._folder() / "GigaSpeech.json", work, wanted)

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self._folder()
        for audio in read_audios(part):
            path = str(folder / audio["path"])
            for segment in audio["segments"]:
                key, words = segment["sid"], segment["text_tn"].split()
                if NO_SPEECH.intersection(words):
                    yield Skipped(key, "marked as no speech")
                    continue
                text = with_punctuation(words) if self.punctuation else without_punctuation(words)
                start_s, end_s = float(segment["begin_time"]), float(segment["end_time"])
                yield Utterance(key, key, text, path, audio["aid"], start_s, end_s)


def without_punctuation(words: list[str]) -> str:
    return " ".join(word for word in words if word not in PUNCTUATION)


def with_punctuation(words: list[str]) -> str:
    text = " ".join(PUNCTUATION.get(word, word) for word in words)
    return re.sub(r" (?=[,.?!])", "", text)
