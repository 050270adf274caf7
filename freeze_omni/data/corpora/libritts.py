"""LibriTTS (openslr 60): <subset>/<reader>/<chapter>/ with wav, .normalized.txt and .original.txt of each utterance."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import CorpusError, Item, Skipped, Utterance, option, own_text
from freeze_omni.data.corpora.librispeech import SUBSETS, LibriSpeech

TEXTS = ("normalized", "original")


@dataclass(frozen=True)
class LibriTts(LibriSpeech):
    """Sets as in ESPnet: train_clean_100, dev_clean, ... Audio is 24 kHz."""

    role = "tts"
    source = "https://www.openslr.org/60"
    archive = ("LibriTTS", SUBSETS[0])
    root: Path = option(None, "the folder LibriTTS, or the one that holds it")
    text: str = option("normalized", f"which text: {' or '.join(TEXTS)}")

    def __post_init__(self) -> None:
        if self.text not in TEXTS:
            raise CorpusError(f"--text {self.text}: {' or '.join(TEXTS)}")

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self.folder / part
        speaker = part.split("/")[1]
        files = set(os.listdir(folder))
        wavs = {file.removesuffix(".wav") for file in files if file.endswith(".wav")}
        suffix = f".{self.text}.txt"
        texts = {file.removesuffix(suffix) for file in files if file.endswith(suffix)}
        for key in sorted(wavs & texts):
            text = own_text(folder / f"{key}{suffix}")
            yield text if isinstance(text, Skipped) else Utterance(key, speaker, text, f"{folder}/{key}.wav")
        yield from (Skipped(f"{folder}/{key}.wav", f"no {suffix[1:]} for the audio") for key in sorted(wavs - texts))
        yield from (Skipped(f"{folder}/{key}{suffix}", "no audio for the text") for key in sorted(texts - wavs))
