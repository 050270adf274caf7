"""A piper voice (VITS): its ONNX model and json, phonemes by our G2P; no GPL program is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import Wav
from freeze_omni.data.tts.base import TtsError, one_core_session
from freeze_omni.data.tts.g2p import as_espeak, load_g2p

_PAD, _BEGIN, _END = "_", "^", "$"


class Piper:
    """speak(text, voice, speed): voice is the model's name, as in `en_US-joe-medium`."""

    version = "piper-g2p-1"

    def __init__(self, folder: str | Path, g2p_folder: str | Path) -> None:
        self._folder = Path(folder)
        self._phonemes = load_g2p(str(g2p_folder))
        self._models: dict[str, tuple] = {}

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        if voice not in self._models:
            self._models[voice] = self._load(voice)
        session, config = self._models[voice]
        ids = phoneme_ids(as_espeak(self._phonemes(text)), config["phoneme_id_map"])
        scale = config["inference"]
        inputs = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([scale["noise_scale"], scale["length_scale"] / speed, scale["noise_w"]], np.float32),
        }
        wav = session.run(None, inputs)[0].ravel()
        return wav / max(1.0, float(np.abs(wav).max())), config["audio"]["sample_rate"]

    def _load(self, voice: str) -> tuple:
        path = self._folder / f"{voice}.onnx"
        session = one_core_session(path, "get_piper_joe.sh")
        config = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        return session, config


def phoneme_ids(phonemes: str, id_map: dict[str, list[int]]) -> list[int]:
    """Ids between begin and end, a pad after each. Signs without an id in this voice are left out."""
    ids = [*id_map[_BEGIN], *id_map[_PAD]]
    for sign in phonemes:
        if sign in id_map:
            ids += [*id_map[sign], *id_map[_PAD]]
    if len(ids) == 2:
        raise TtsError(f"nothing to speak in '{phonemes}'; remove the sentence")
    return [*ids, *id_map[_END]]
