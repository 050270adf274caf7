"""Kokoro-82M: 24 kHz, 28 English voices, and the mean of two style tensors is a new voice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freeze_omni.data.audio import Wav
from freeze_omni.data.tts.base import TtsError, one_core_session
from freeze_omni.data.tts.g2p import load_g2p

_HZ = 24000
_STYLE_ROWS, _STYLE_SIZE = 510, 256
_LONGEST = 400  # phonemes a call; the model was made for 510


def voice_names(folder: str | Path) -> list[str]:
    """English voices in `folder`, or else those of the Python package's vectors."""
    names = sorted(path.stem for path in Path(folder, "voices").glob("[ab][fm]_*.bin"))
    return names or sorted(np.load(Path(folder, "voices_ja.npz")).files)


class Kokoro:
    """speak(text, voice, speed): `a` or `a+b` (the mean of two voices)."""

    version = "kokoro-82m-int8-1"

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._session = one_core_session(self._folder / "kokoro.onnx", "get_kokoro.sh")
        self._ids = json.loads((self._folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._phonemes = load_g2p(str(self._folder / "g2p"))
        self._styles: dict[str, NDArray[np.float32]] = {}

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        style = self._style(voice)
        pieces = [self._run(part, style, speed) for part in split_phonemes(self._phonemes(text))]
        return np.concatenate(pieces), _HZ

    def _run(self, phonemes: str, style: NDArray[np.float32], speed: float) -> Wav:
        ids = [self._ids[sign] for sign in phonemes if sign in self._ids]
        if not ids:
            raise TtsError(f"nothing to speak in '{phonemes}'; remove the sentence")
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": style[min(len(ids), _STYLE_ROWS) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        return self._session.run(None, inputs)[0].ravel()

    def _style(self, voice: str) -> NDArray[np.float32]:
        if voice not in self._styles:
            parts = [self._read_style(name) for name in voice.split("+")]
            self._styles[voice] = np.mean(parts, axis=0, dtype=np.float32)
        return self._styles[voice]

    def _read_style(self, name: str) -> NDArray[np.float32]:
        path = self._folder / "voices" / f"{name}.bin"
        if path.exists():
            return np.fromfile(path, dtype=np.float32).reshape(_STYLE_ROWS, _STYLE_SIZE)
        packed = np.load(self._folder / "voices_ja.npz")
        if name not in packed.files:
            raise TtsError(f"kokoro has no voice '{name}'; known: {', '.join(voice_names(self._folder))}")
        return packed[name].reshape(_STYLE_ROWS, _STYLE_SIZE)


def split_phonemes(phonemes: str, longest: int = _LONGEST) -> list[str]:
    """Cut a phoneme string after punctuation, into pieces of at most `longest` if possible."""
    pieces = [""]
    for part in re.split(r"(?<=[.!?;:,])\s+", phonemes):
        if pieces[-1] and len(pieces[-1]) + len(part) >= longest:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {part}".strip()
    return pieces
