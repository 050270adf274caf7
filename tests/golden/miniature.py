"""The miniature next to this file: a random checkpoint in the published layout, a toy LLM, a recording.

`python -m tests.golden.miniature` makes `miniature.tar.xz` again. The recording is of OUR code, not of the published
one: it shows that what is imported stays the same, and lets users try the commands. Sizes and switches are others
than those of the recordings of the published code, which are not part of the project.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.released.checkpoint import build_model, read_released
from freeze_omni.released.golden import record
from freeze_omni.system import FreezeOmni
from tests.released.make import Sizes, write_checkpoint
from tests.toy import toy_llm

ARCHIVE = Path(__file__).with_name("miniature.tar.xz")
LEVELS = 3
MOST_BYTES = 1_000_000
NOTE = """A random-weight miniature in the published layout (checkpoints/), a toy LLM (llm/), and golden.npz, recorded
with this project's own code. It says nothing sensible. Made by `python -m tests.golden.miniature`.
"""


def unpack(folder: Path) -> Path:
    """Unpack the archive and return the folder with checkpoints, llm and golden.npz."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "miniature"


def inputs(model: FreezeOmni, steps: int = 6, seed: int = 1) -> dict[str, np.ndarray]:
    """What a recording is made of: sounds, text, targets, tokens."""
    draw, config = np.random.default_rng(seed), model.config
    hop, codes = config.codec.hop_samples, config.speech_decoder.codes
    return {
        "wav16k": _sound(steps * model.rates.chunk_samples, draw),
        "tts_text_ids": draw.integers(3, 250, 6),
        "tf_y": draw.integers(0, codes, 11),
        "codec_tokens": draw.integers(0, codes, 20),
        "codec_in_wav": _sound(12 * hop, draw),
    }


def load(folder: Path) -> FreezeOmni:
    """The model of a folder with checkpoints and llm."""
    released = read_released(folder / "checkpoints")
    return build_model(released, FrozenLLM.load(folder / "llm", texts=released.config.chat))


def small_llm(folder: Path, hidden_size: int) -> Path:
    """A toy LLM whose weights take few different values."""
    toy_llm(folder, hidden_size=hidden_size)
    path = folder / "model.safetensors"
    weights = {name: (weight * 5 * LEVELS).round() / (5 * LEVELS) for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def _sound(samples: int, draw: np.random.Generator) -> np.ndarray:
    """Tones that come and go, with noise; few enough values to compress."""
    time = np.arange(samples) / 16000
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in (210, 640, 1900)) * np.sin(5 * time) ** 2
    return (np.round((0.15 * tones + 0.02 * draw.standard_normal(samples)) * 512) / 512).astype(np.float32)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "miniature"
        sizes = Sizes(levels=LEVELS)
        write_checkpoint(folder / "checkpoints", sizes)
        small_llm(folder / "llm", sizes.llm)
        model = load(folder)
        recording = record(model, inputs(model))
        assert all(np.isfinite(value).all() for value in recording.values())
        np.savez_compressed(folder / "golden.npz", **recording)
        (folder / "README.txt").write_text(NOTE)
        new = ARCHIVE.with_name(ARCHIVE.name + ".tmp")
        with tarfile.open(new, "w:xz", preset=9) as archive:
            archive.add(folder, "miniature")
        shutil.move(new, ARCHIVE)
    size = ARCHIVE.stat().st_size
    print(f"{ARCHIVE}: {size:,} bytes")
    sys.exit(size > MOST_BYTES)


if __name__ == "__main__":
    main()
