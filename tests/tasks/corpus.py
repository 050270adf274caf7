"""A toy corpus and toy sizes for the tests of the tasks: noise for speech, nothing to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

TEXTS = ["Hello, my name is Anna.", "A spider has eight legs.", "Paris, please!", "The blue whale."]
ENCODER = {"size": 32, "layers": 1, "heads": 2, "ffn_size": 32, "subsampling_channels": 8}
DECODER = {"size": 32, "heads": 2, "ffn_size": 32, "layers": 2, "pre_layers": 1, "codes": 16}


def write_corpus(folder: Path, seed: int = 1) -> Path:
    """Four turns of a second: wav.scp (16 kHz), text, answer, states, tokens, utt2num_samples."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    lines: dict[str, list[str]] = {
        name: [] for name in ("wav.scp", "text", "answer", "states", "tokens", "utt2num_samples")
    }
    for number, text in enumerate(TEXTS):
        uid, chunks = f"utt{number}", 6 + number
        samples = chunks * 2560
        soundfile.write(folder / f"{uid}.wav", draw.normal(0, 0.1, samples), 16000)
        lines["wav.scp"].append(f"{uid} {folder / uid}.wav")
        lines["text"].append(f"{uid} {text}")
        lines["utt2num_samples"].append(f"{uid} {samples}")
        lines["tokens"].append(f"{uid} " + " ".join(map(str, draw.integers(0, 16, 9 + number))))
        last = 1 if number % 2 == 0 else 2
        lines["states"].append(f"{uid} " + " ".join(["0"] * (chunks - 1) + [str(last)]))
        if last == 1:
            lines["answer"].append(f"{uid} {TEXTS[-1 - number]}")
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
