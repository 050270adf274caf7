"""Full-Duplex-Bench: reads <task>/<id>/input.wav; writes <task>/<id>/output.wav in time with it, and output.json.

output.json has the words of output.wav with their times, {"text", "chunks": [{"text", "timestamp": [start, end]}]}; of
for user_interruption only those after the interruption.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio, read_header
from freeze_omni.data.tables import read_json, write_lines
from freeze_omni.eval.judge import RATE_HZ, Word
from freeze_omni.eval.suites.base import Answer, Item, SuiteError, check_wav, copy_sound

IN_TIME, TEXT_ALONE = True, False
INTERRUPTION = "user_interruption"
_LATE_S = 0.2


def read(data: Path, work: Path) -> list[Item]:
    """All samples of a root folder of tasks, or of one task."""
    items = []
    for path in sorted([*data.glob("*/input.wav"), *data.glob("*/*/input.wav")]):
        folder, task = path.parent, path.parent.parent.name
        begin_s = _interruption_end_s(folder) if task.endswith(INTERRUPTION) else 0.0
        items.append(Item(f"{task}/{folder.name}", str(path), fields={"task": task, "begin_s": begin_s}))
    if not items:
        raise SuiteError(f"{data}: no <id>/input.wav and no <task>/<id>/input.wav in it")
    return items


def _interruption_end_s(folder: Path) -> float:
    """From interrupt.json (1.0) or metadata.json (1.5). Raises SuiteError."""
    first, later = folder / "interrupt.json", folder / "metadata.json"
    path = first if first.is_file() or not later.is_file() else later
    try:
        content = read_json(path)
        start_s, end_s = map(float, content[0]["timestamp"] if path == first else content["timestamps"])
        if not 0 <= start_s <= end_s < math.inf:
            raise ValueError("it ends before it starts")
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        form = '[{"timestamp": [start, end], ...}]' if path == first else '{"timestamps": [start, end], ...}'
        raise SuiteError(f"{path}: expected {form} ({error}); fetch it again") from None
    return end_s


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    """Write output.wav of every sample; `transcribe` writes output.json."""
    for item in items:
        if not answers[item.id].sound:
            raise SuiteError(f"{item.id}: no sound in time with the input")
        copy_sound(answers[item.id].sound, folder / item.id / "output.wav")


def transcribe(folder: Path, items: Sequence[Item], words: Callable[[np.ndarray], list[Word]]) -> None:
    """Write output.json next to every output.wav. words: of (S,) samples at 16 kHz."""
    for item in items:
        wav, _ = read_audio(str(folder / item.id / "output.wav"), RATE_HZ)
        begin_s = item.fields["begin_s"]
        whole = as_content(words(wav[round(begin_s * RATE_HZ) :]), begin_s)
        write_lines(folder / item.id / "output.json", [json.dumps(whole, ensure_ascii=False, indent=4)])


def as_content(words: Sequence[Word], begin_s: float = 0.0) -> dict[str, Any]:
    """Content of output.json for words whose times count from `begin_s`."""
    chunks = [
        {"text": word.text.strip(), "timestamp": [round(word.start_s + begin_s, 3), round(word.end_s + begin_s, 3)]}
        for word in words
    ]
    return {"text": " ".join(chunk["text"] for chunk in chunks), "chunks": chunks}


def check(folder: Path, items: Sequence[Item]) -> None:
    """Every output.wav is as long as its input; output.json, if any, has words in order."""
    for item in items:
        path = folder / item.id / "output.wav"
        ours, theirs = check_wav(path), read_header(item.sound)
        late_s = abs(ours.samples / ours.rate_hz - theirs.samples / theirs.rate_hz)
        if late_s > _LATE_S:
            raise SuiteError(f"{path}: {late_s:.2f} s longer or shorter than its input: not in time with it")
        if (path.parent / "output.json").is_file():
            _check_words(path.parent / "output.json")


def _check_words(path: Path) -> None:
    try:
        content = read_json(path)
        times = [tuple(map(float, chunk["timestamp"])) for chunk in content["chunks"]]
        words = [chunk["text"] for chunk in content["chunks"]]
        right = content["text"] == " ".join(words) and all(start <= end for start, end in times)
    except (ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path}: not {{text, chunks: [{{text, timestamp: [start, end]}}]}}: {error!r}") from None
    if not right or times != sorted(times):
        raise SuiteError(f"{path}: `text` is not the words of `chunks`, or their times go back")
