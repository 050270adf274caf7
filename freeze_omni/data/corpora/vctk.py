"""VCTK: txt/<speaker>/<id>.txt, wav48_silence_trimmed/<speaker>/<id>_mic1.flac (0.92) or wav48/<speaker>/<id>.wav."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, folders_in, option, own_text

LAYOUTS = {"wav48_silence_trimmed": "_{mic}.flac", "wav48": ".wav"}


@dataclass(frozen=True)
class Vctk(Corpus):
    """Sets have ESPnet's names: the last of every speaker are eval1, those before dev, the rest tr_no_dev."""

    role = "tts"
    source = "https://datashare.ed.ac.uk/handle/10283/3443"
    root: Path = option(None, "the folder VCTK-Corpus-0.92, or the one that holds it")
    mic: str = option("mic1", "microphone, mic1 or mic2 (0.92)")
    held_out: int = option(5, "utterances of each speaker in dev, and as many in eval1")

    def _folder(self) -> tuple[Path, str]:
        for below in ("", "VCTK-Corpus-0.92", "VCTK-Corpus"):
            for layout in LAYOUTS:
                if (self.root / below / layout).is_dir() and (self.root / below / "txt").is_dir():
                    return self.root / below, layout
        raise CorpusError(f"{self.root}: no wav48_silence_trimmed (or wav48) and txt in it; fix --root")

    def sets(self, work: Path) -> dict[str, list[str]]:
        folder, layout = self._folder()
        speakers = sorted({*folders_in(folder / layout), *folders_in(folder / "txt")})
        if not speakers:
            raise CorpusError(f"{folder / layout}: no speakers' folders; unpack the archive again")
        return {name: list(speakers) for name in ("tr_no_dev", "dev", "eval1")}

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder, layout = self._folder()
        suffix = LAYOUTS[layout].format(mic=self.mic)
        texts = {path.stem: path for path in (folder / "txt" / part).glob("*.txt")}
        sounds = folder / layout / part
        files = sorted(os.listdir(sounds)) if sounds.is_dir() else []
        keys = [file.removesuffix(suffix) for file in files if file.endswith(suffix)]
        for key in chosen(keys, name, self.held_out):
            audio = f"{sounds}/{key}{suffix}"
            text = own_text(texts[key]) if key in texts else Skipped(audio, "no text for the audio")
            yield text if isinstance(text, Skipped) else Utterance(key, part, text, audio)
        if name == "tr_no_dev":  # said once, not by every set
            yield from (Skipped(str(texts[key]), "no audio for the text") for key in sorted(texts.keys() - set(keys)))


def chosen(keys: list[str], name: str, held_out: int) -> list[str]:
    """The part of a speaker's sorted utterances that belongs to the set."""
    dev, evaluation = max(len(keys) - 2 * held_out, 0), max(len(keys) - held_out, 0)
    return {"tr_no_dev": keys[:dev], "dev": keys[dev:evaluation], "eval1": keys[evaluation:]}[name]
