"""Toy speech and toy facts for the tests of data/."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from freeze_omni.data.audio import write_wav
from freeze_omni.data.kaldi_dir import write_set

TONE_PROGRAM = """
import math, struct, sys, wave
text = sys.stdin.read()
with wave.open(sys.argv[1], "wb") as out:
    out.setnchannels(1); out.setsampwidth(2); out.setframerate(16000)
    samples = [0] * 3200 + [int(8000 * math.sin(i / 9)) for i in range(800 * len(text))] + [0] * 3200
    out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
"""


def tone(seconds: float, hz: int = 16000, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(int(seconds * hz)) / hz)).astype(np.float32)


@pytest.fixture
def toy_program(tmp_path: Path) -> str:
    """A synthesiser: 50 ms of a tone for each letter, 0.2 s of silence around."""
    script = tmp_path / "tone.py"
    script.write_text(TONE_PROGRAM)
    return f"{sys.executable} -S {script} {{output}}"


@pytest.fixture
def toy_dir(tmp_path: Path) -> Path:
    """Two utterances of 1.0 and 0.5 s at 24 kHz."""
    folder = tmp_path / "toy"
    wavs = {"spk-a": folder / "a.wav", "spk-b": folder / "b.wav"}
    for path, seconds in zip(wavs.values(), (1.0, 0.5), strict=True):
        write_wav(path, tone(seconds, 24000), 24000)
    write_set(folder, wavs, {"spk-a": "One.", "spk-b": "Two."}, dict.fromkeys(wavs, "spk"))
    return folder


@pytest.fixture
def toy_facts(tmp_path: Path) -> Path:
    """Twelve words with opposites, three phrasings and one that is held out."""
    folder = tmp_path / "facts"
    folder.mkdir()
    pairs = ("hot cold", "big small", "up down", "in out", "old new", "wet dry")
    rows = [pair.split() for pair in pairs] + [pair.split()[::-1] for pair in pairs]
    (folder / "words.tsv").write_text("word\topposite\n" + "".join(f"{a}\t{b},not {a}\n" for a, b in rows))
    (folder / "templates.yaml").write_text(
        "opposite:\n  table: words.tsv\n  answer: opposite\n  phrasings:\n"
        "  - What is the opposite of {word}?\n  - Tell me the opposite of {word}.\n"
        "  - What's the opposite of {word}?\n  - Do you know the opposite of {word}?\n"
        "  held_out:\n  - Do you know what the opposite of {word} is?\n"
        "  statements:\n  - The opposite of {word} is {opposite}.\n"
    )
    (folder / "phrases.yaml").write_text(
        "backchannels: [Okay., Right.]\nside_talk:\n- table: words.tsv\n  templates: ['It is too {word} here.']\n"
        "- templates: [Close the door.]\n"
        "held_out_backchannels: [Yep.]\nheld_out_side_talk: [Mind the step.]\n"
    )
    return folder
