"""Recorded human prompts (texts.txt, g722/) as data/asr_real_train and data/asr_test_real."""

from __future__ import annotations

import random
import re
from pathlib import Path

from freeze_omni.data.audio import AudioError, read_audio, write_wav
from freeze_omni.data.kaldi_dir import write_set

_LEAST_WORDS, _MOST_WORDS = 2, 14


def write_real_speech(folder: Path, data: Path, train: int, test: int) -> None:
    """Decode the first prompts of a fixed shuffle: `test` of them for testing, then `train`.

    Without a G.722 decoder (PyAV) the sets are left out, with a note.
    """
    prompts = read_prompts(folder)
    names = sorted(prompts)
    random.Random(0).shuffle(names)
    for set_name, chosen in (
        ("asr_test_real", names[:test]),
        ("asr_real_train", names[test : test + train]),
    ):
        wavs, texts = {}, {}
        for name in chosen:
            key = f"allison-{name}"
            path = (data / set_name / "wav" / f"{key}.wav").resolve()
            if not path.exists():
                try:
                    write_wav(path, *read_audio(str(folder / "g722" / f"{name}.g722"), 16000))
                except AudioError as error:
                    print(f"recorded prompts are left out: {error}")
                    return
            wavs[key], texts[key] = path, prompts[name]
        if chosen:
            write_set(data / set_name, wavs, texts, dict.fromkeys(wavs, "allison"))
            print(f"{data / set_name}: {len(wavs)} recorded prompts")


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompts of a plain sentence, by name; a text in brackets describes a sound."""
    prompts = {}
    for line in (folder / "texts.txt").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, text = line.partition(": ")
        plain = re.fullmatch(r"[A-Za-z' ,.?!-]+", text) is not None
        if plain and "/" not in name and (folder / "g722" / f"{name}.g722").exists():
            text = " ".join(text.split())
            if _LEAST_WORDS <= len(text.split()) <= _MOST_WORDS:
                prompts[name] = text
    return prompts
