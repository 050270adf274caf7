"""What the measured users say: sound files, or noise where there are none; and typed questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr

from freeze_omni.data.tables import read_table
from freeze_omni.session.sound import read_question

QUESTIONS = (
    "What is the capital of France?",
    "How many legs does a spider have?",
    "Which animal is the largest?",
    "What do bees make?",
    "Why is the sky blue?",
    "Who wrote Hamlet?",
    "Where do penguins live?",
    "What is water made of?",
)
HZ = 24000


def sounds(table: Path | None, count: int) -> list[np.ndarray]:
    """`count` questions (S,) at 24 kHz: the first of a wav.scp, over again if it has fewer; else bursts of noise."""
    if table is None:
        return [_bursts(seed) for seed in range(count)]
    paths = list(read_table(table).values())
    return [read_question(paths[number % len(paths)], HZ)[0] for number in range(count)]


def at_rate(sound: np.ndarray, hz: int) -> np.ndarray:
    """A sound at the model's input rate."""
    return soxr.resample(sound, HZ, hz).astype(np.float32)


def _bursts(seed: int) -> np.ndarray:
    """Two seconds of noise in syllables, as loud as speech."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(2 * HZ) / HZ
    envelope = np.clip(np.sin(2 * np.pi * (3 + 0.2 * seed) * time_s), 0, 1)
    return (0.2 * envelope * rng.standard_normal(len(time_s))).astype(np.float32)
