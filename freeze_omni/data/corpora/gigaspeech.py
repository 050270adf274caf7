"""GigaSpeech: GigaSpeech.json and audio/{audiobook,podcast,youtube}/.../<recording>.opus."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.audios_json import AudiosJson, split_audios
from freeze_omni.data.corpora.base import Skipped, option

TRAIN = ("XS", "S", "M", "L", "XL")
PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}
NO_SPEECH = {"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"}


@dataclass(frozen=True)
class GigaSpeech(AudiosJson):
    """Sets: train_xl (or _l, _m, _s, _xs), dev, test. Speakers are unknown: one an utterance."""

    role = "asr"
    source = "https://github.com/SpeechColab/GigaSpeech"
    train = TRAIN
    archive = ("GigaSpeech", "GigaSpeech.json")
    root: Path = option(None, "the folder with GigaSpeech.json and audio/")
    subset: str = option("XL", f"training subset: {', '.join(TRAIN)}")
    punctuation: bool = option(False, "write its punctuation instead of leaving it out")

    def sets(self, work: Path) -> dict[str, list[str]]:
        wanted = {f"{{{self.subset}}}": f"train_{self.subset.lower()}", "{DEV}": "dev", "{TEST}": "test"}
        return split_audios(self.folder / "GigaSpeech.json", work, wanted)

    def text_of(self, segment: dict[str, Any]) -> str | Skipped:
        words = segment["text_tn"].split()
        if NO_SPEECH.intersection(words):
            return Skipped(segment["sid"], "marked as no speech")
        if not self.punctuation:
            return " ".join(word for word in words if word not in PUNCTUATION)
        return re.sub(r" (?=[,.?!])", "", " ".join(PUNCTUATION.get(word, word) for word in words))
