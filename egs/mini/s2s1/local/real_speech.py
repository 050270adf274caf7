"""Recorded human prompts (texts.txt, wav/) as data/asr_real_train, asr_test_real and, if asked for, asr_dev_real."""

from __future__ import annotations

import random
import re
from pathlib import Path

from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.tables import read_lines

TEST_SET, TRAIN_SET, DEV_SET = "asr_test_real", "asr_real_train", "asr_dev_real"
_LEAST_WORDS, _MOST_WORDS = 2, 14


def write_real_speech(folder: Path, data: Path, train: int, test: int, dev: int = 0) -> None:
    """Prompts of a fixed shuffle: the first `test` for testing, then `train`, and the last `dev` for development.

    Where there are too few of them, those of the development set are taken from training.
    """
    prompts = read_prompts(folder)
    names = sorted(prompts)
    random.Random(0).shuffle(names)
    last = max(test, len(names) - dev)
    for set_name, chosen in (
        (TEST_SET, names[:test]),
        (TRAIN_SET, names[test:last][:train]),
        (DEV_SET, names[last:]),
    ):
        wavs = {f"allison-{name}": folder.resolve() / "wav" / f"{name}.wav" for name in chosen}
        texts = {f"allison-{name}": prompts[name] for name in chosen}
        if chosen:
            write_set(data / set_name, wavs, texts, dict.fromkeys(wavs, "allison"))
            print(f"{data / set_name}: {len(wavs)} recorded prompts")


def read_prompts(folder: Path) -> dict[str, str]:
    """Prompts of a plain sentence, by name; a text in brackets describes a sound."""
    prompts = {}
    for line in read_lines(folder / "texts.txt"):
        name, _, text = line.partition(": ")
        plain = re.fullmatch(r"[A-Za-z' ,.?!-]+", text) is not None
        if plain and "/" not in name and (folder / "wav" / f"{name}.wav").exists():
            text = " ".join(text.split())
            if _LEAST_WORDS <= len(text.split()) <= _MOST_WORDS:
                prompts[name] = text
    return prompts
