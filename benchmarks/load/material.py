"""What the measured users say: sound files, or noise without any; and typed questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from freeze_omni.data.audio import read_question
from freeze_omni.data.tables import TableError, read_table

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


@dataclass(frozen=True)
class Spoken:
    """A question as sound (S,) at 24 kHz, and its words."""

    sound: np.ndarray
    text: str


def sounds(questions: Path | None, count: int) -> list[np.ndarray]:
    """`count` questions (S,) at 24 kHz, repeated if there are fewer; without a table, bursts of noise.

    questions: a data directory, or a wav.scp.
    """
    if questions is None:
        return [_bursts(seed) for seed in range(count)]
    paths = list(read_table(_scp(questions)).values())
    return [read_question(paths[number % len(paths)], HZ)[0] for number in range(count)]


def spoken(questions: Path, count: int) -> list[Spoken]:
    """`count` questions of different words, spread over the table; of scenes those that ask for an answer.

    questions: a data directory, or a wav.scp with `text` next to it. Raises TableError if there are fewer.
    """
    scp, folder = _scp(questions), _scp(questions).parent
    paths, texts = read_table(scp), read_table(folder / "text", need_value=False)
    asked = read_table(folder / "answer") if (folder / "answer").is_file() else paths
    different = {text: key for key, text in texts.items() if text and key in paths and key in asked}
    if len(different) < count:
        raise TableError(f"{scp}: {len(different)} different questions with words in `text`, {count} are needed")
    chosen = list(different.items())[:: len(different) // count][:count]
    return [Spoken(read_question(paths[key], HZ)[0], text) for text, key in chosen]


def _scp(questions: Path) -> Path:
    return questions / "wav.scp" if questions.is_dir() else questions


def at_rate(sound: np.ndarray, hz: int) -> np.ndarray:
    """A sound at the model's input rate."""
    return soxr.resample(sound, HZ, hz).astype(np.float32)


def _bursts(seed: int) -> np.ndarray:
    """Two seconds of noise in syllables, as loud as speech."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(2 * HZ) / HZ
    envelope = np.clip(np.sin(2 * np.pi * (3 + 0.2 * seed) * time_s), 0, 1)
    return (0.2 * envelope * rng.standard_normal(len(time_s))).astype(np.float32)
