"""Full-Duplex-Bench: reads <task>/<id>/input.wav; writes <task>/<id>/output.wav in time with it, and output.json.

output.json has the words of output.wav with their times, {"text", "chunks": [{"text", "timestamp": [start, end]}]}; of
1.0's user_interruption only those after the interruption. 1.5's clean_input.wav, without the event, gets a
clean_output.wav, and all four sounds their words. Beside them stand links to the other files of the sample, which the
benchmark's scripts read.
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
PUBLISHED = ("input", "clean_input", "context", "interrupt", "metadata", "pause", "transcription", "turn_taking")
_LATE_S = 0.2


def subsets(data: Path) -> dict[str, Path]:
    """Raises SuiteError: all tasks of a root are read at once."""
    raise SuiteError(f"{data}: all tasks of a root folder are read at once; leave out --all")


def read(data: Path, work: Path) -> list[Item]:
    """All samples of a root folder of tasks, or of one task."""
    items = []
    for path in sorted([*data.glob("*/input.wav"), *data.glob("*/*/input.wav")]):
        folder, task = path.parent, path.parent.parent.name
        key, later = f"{task}/{folder.name}", (folder / "metadata.json").is_file()  # 1.5
        begin_s = 0.0 if later or not task.endswith(INTERRUPTION) else _interruption_end_s(folder / "interrupt.json")
        items.append(Item(key, str(path), fields={"place": f"{key}/output", "begin_s": begin_s, "heard": later}))
        if (clean := folder / "clean_input.wav").is_file():
            fields = {"place": f"{key}/clean_output", "begin_s": 0.0, "heard": later}
            items.append(Item(f"{key}/clean", str(clean), fields=fields))
    if not items:
        raise SuiteError(f"{data}: no <id>/input.wav and no <task>/<id>/input.wav in it")
    return items


def _interruption_end_s(path: Path) -> float:
    """Raises SuiteError."""
    try:
        start_s, end_s = map(float, read_json(path)[0]["timestamp"])
        if not 0 <= start_s <= end_s < math.inf:
            raise ValueError("it ends before it starts")
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        form = '[{"timestamp": [start, end], ...}]'
        raise SuiteError(f"{path}: expected {form} ({error}); fetch it again") from None
    return end_s


def write(folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
    """Write output.wav of every sample; `transcribe` writes output.json."""
    for item in items:
        target = folder / f"{item.fields['place']}.wav"
        if answers[item.id].sound:
            copy_sound(answers[item.id].sound, target)
        elif target.stem == "output":
            raise SuiteError(f"{item.id}: no sound in time with the input")
        for file in Path(item.sound).resolve().parent.iterdir():
            if file.stem in PUBLISHED and not (target.parent / file.name).exists():
                (target.parent / file.name).symlink_to(file)


def transcribe(folder: Path, items: Sequence[Item], words: Callable[[np.ndarray], list[Word]]) -> None:
    """Write the words of every sound next to it. words: of (S,) samples at 16 kHz."""
    for item in items:
        said = folder / f"{item.fields['place']}.wav"
        sounds = {said: item.fields["begin_s"]} if said.is_file() else {}
        if item.fields["heard"]:
            sounds[said.with_name(Path(item.sound).name)] = 0.0
        for path, begin_s in sounds.items():
            wav, _ = read_audio(str(path), RATE_HZ)
            whole = as_content(words(wav[round(begin_s * RATE_HZ) :]), begin_s)
            write_lines(path.with_suffix(".json"), [json.dumps(whole, ensure_ascii=False, indent=4)])


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
        path = folder / f"{item.fields['place']}.wav"
        if path.stem != "output" and not path.is_file():
            continue
        ours, theirs = check_wav(path), read_header(item.sound)
        late_s = abs(ours.samples / ours.rate_hz - theirs.samples / theirs.rate_hz)
        if late_s > _LATE_S:
            raise SuiteError(f"{path}: {late_s:.2f} s longer or shorter than its input: not in time with it")
        if path.with_suffix(".json").is_file():
            _check_words(path.with_suffix(".json"))


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
