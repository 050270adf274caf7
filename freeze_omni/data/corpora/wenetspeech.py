"""WenetSpeech (openslr 121): WenetSpeech.json and audio/{train,dev,test_net,test_meeting}/.../<recording>.opus."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.audios_json import AudiosJson, split_audios
from freeze_omni.data.corpora.base import Skipped, option

_BESIDE_SIGN = re.compile(r"(?<=[\u3400-\u9fff])\s+|\s+(?=[\u3400-\u9fff])")
TRAIN = ("S", "M", "L")


@dataclass(frozen=True)
class WenetSpeech(AudiosJson):
    """Sets as in ESPnet: train_l (or _m, _s), dev, test_net, test_meeting. Speakers are unknown: one an utterance."""

    role = "asr"
    source = "https://www.openslr.org/121"
    train = TRAIN
    archive = ("WenetSpeech", "WenetSpeech.json")
    root: Path = option(None, "the folder with WenetSpeech.json and audio/")
    subset: str = option("L", f"training subset: {', '.join(TRAIN)}")
    least_confidence: float = option(0.95, "segments below are skipped")

    def sets(self, work: Path) -> dict[str, list[str]]:
        tests = {"DEV": "dev", "TEST_NET": "test_net", "TEST_MEETING": "test_meeting"}
        wanted = {self.subset: f"train_{self.subset.lower()}"} | tests
        return split_audios(self.folder / "WenetSpeech.json", work, wanted)

    def text_of(self, segment: dict[str, Any]) -> str | Skipped:
        if float(segment.get("confidence", 1.0)) < self.least_confidence:
            return Skipped(segment["sid"], f"confidence below {self.least_confidence:g}")
        return without_blanks(segment["text"])


def without_blanks(text: str) -> str:
    """Spaces stay only between English words."""
    return _BESIDE_SIGN.sub("", text)
