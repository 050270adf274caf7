"""Real speech for miniatures of corpora: the seven AN4 utterances that the installed ESPnet brings along."""

from __future__ import annotations

import importlib.metadata
import io
import re
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from freeze_omni.data.audio import resample

_SIGNS = {  # what is said in the clips, as Mandarin would write it
    "YES": "是",
    "GO": "走",
    "START": "开始",
    "MARCH": "三月",
    "OCTOBER": "十月",
    "THIRD": "三号",
    "ELEVEN": "十一",
    "SEVENTEEN": "十七",
    "NINETEEN": "十九",
    "TWENTY": "二十",
    "FIFTY": "五十",
    "SEVENTY": "七十",
    "ONE": "一",
    "FOUR": "四",
    "SEVEN": "七",
    "EIGHT": "八",
}


@dataclass(frozen=True)
class Clip:
    """A spoken sentence: (S,) samples at 16 kHz and its words in capitals."""

    words: str
    wav: np.ndarray

    @property
    def signs(self) -> list[str]:
        return [sign for word in self.words.split() for sign in _SIGNS[word]]

    def write(self, path: Path, hz: int = 16000, **how: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, resample(self.wav, 16000, hz), hz, **how)
        return path


def packed() -> Path:
    """The archive in the installed ESPnet."""
    files = importlib.metadata.files("espnet") or []
    return Path(next(file for file in files if file.match("mini_an4/*/downloads.tar.gz")).locate())


@cache
def clips() -> list[Clip]:
    """All utterances, the shortest first."""
    with tarfile.open(packed()) as archive:
        content = {name: archive.extractfile(name).read() for name in archive.getnames() if "." in name}
    found = []
    for name in ("train", "test"):
        for line in content[f"downloads/an4/etc/an4_{name}.transcription"].decode().splitlines():
            words, key = re.match(r"(?:<s> )?(.*?) (?:</s> )?\((.*)\)", line).groups()
            audio = next(data for path, data in content.items() if path.endswith(f"/{key}.sph"))
            found.append(Clip(words, soundfile.read(io.BytesIO(audio), dtype="float32")[0]))
    return sorted(found, key=lambda clip: len(clip.wav))


def clip(number: int) -> Clip:
    return clips()[number % len(clips())]
