"""WenetSpeech (openslr 121): WenetSpeech.json and audio/{train,dev,test_net,test_meeting}/.../<recording>.opus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from freeze_omni.data.corpora.audios_json import read_audios, split_audios
from freeze_omni.data.corpora.base import CorpusError, Item, Skipped, Utterance, inside, option

_BESIDE_SIGN = re.compile(r"(?<=[\u3400-\u9fff])\s+|\s+(?=[\u3400-\u9fff])")
TRAIN = ("S", "M", "L")


@dataclass(frozen=True)
class WenetSpeech:
    """Sets as in ESPnet: train_l (or _m, _s), dev, test_net, test_meeting. Speakers are unknown: one an utterance."""

    role: ClassVar[str] = "asr"
    source: ClassVar[str] = "https://www.openslr.org/121"
    root: Path = option(None, "the folder with WenetSpeech.json and audio/")
    subset: str = option("L", f"training subset: {', '.join(TRAIN)}")
    least_confidence: float = option(0.95, "segments below are skipped")

    def __post_init__(self) -> None:
        if self.subset not in TRAIN:
            raise CorpusError(f"--subset {self.subset}: one of {', '.join(TRAIN)}")

    def _folder(self) -> Path:
        return inside(self.root, "WenetSpeech", "WenetSpeech.json")

    def sets(self, work: Path) -> dict[str, list[str]]:
        wanted = {
            self.subset: f"train_{self.subset.lower()}",
            "DEV": "dev",
            "TEST_NET": "test_net",
            "TEST_MEETING": "test_meeting",
        }
        return split_audios(self._folder() / "WenetSpeech.json", work, wanted)

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self._folder()
        for audio in read_audios(part):
            path = str(folder / audio["path"])
            for segment in audio["segments"]:
                key = segment["sid"]
                if float(segment.get("confidence", 1.0)) < self.least_confidence:
                    yield Skipped(key, f"confidence below {self.least_confidence:g}")
                else:
                    start_s, end_s = float(segment["begin_time"]), float(segment["end_time"])
                    yield Utterance(key, key, without_blanks(segment["text"]), path, audio["aid"], start_s, end_s)


def without_blanks(text: str) -> str:
    """Spaces stay only between English words."""
    return _BESIDE_SIGN.sub("", text)
