"""Questions and dialogues of a suite, each put to a system in its own session; what was said as records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.eval.suites.base import Item

# The sounds of a dialogue's rounds, or of one question, to the text and sound of each answer.
Answerer = Callable[[Sequence[np.ndarray]], Sequence[tuple[str, np.ndarray]]]


def answered(
    items: Sequence[Item], todo: set[str], folder: Path, input_hz: int, output_hz: int, answer: Answerer
) -> Iterator[list[dict[str, Any]]]:
    """Records of the questions, and dialogues, that have something in `todo`; their sounds in folder/wav."""
    for _, group in groupby(items, lambda item: item.dialogue or item.id):
        rounds = list(group)
        if todo.isdisjoint(item.id for item in rounds):
            continue
        said, records = answer([read_audio(item.sound, input_hz)[0] for item in rounds]), []
        for item, (text, wav) in zip(rounds, said, strict=True):
            path = folder / "wav" / f"{item.id.replace('/', '_')}.wav"
            if len(wav):
                write_wav(path, wav, output_hz)
            records.append({"id": item.id, "text": " ".join(text.split()), "sound": str(path) if len(wav) else ""})
        yield records
