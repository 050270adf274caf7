#!/usr/bin/env python3
"""Stage 4 at size: dialogues whose answers come from an endpoint (a mock, which computes nothing), killed five times.

    python -m benchmarks.scale_answers [--dialogues 60000]

Every question is spoken by one of a few recordings. The command of stage 4 runs once as a whole, and once more from
nothing with `kill -9` three times while answers come and twice while scenes are composed; both must give the same
files. Prints the figures as JSON; `rows` returns them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.data_prep import run
from freeze_omni.data.audio import write_wav
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.questions import Question, write_questions
from tests.data.conftest import TONE_PROGRAM
from tests.dialogues.mock_server import Reply, Request, completion, serving
from tests.toy import toy_llm

DIALOGUES = 60_000
RECORDINGS, SPOKEN_ANSWERS = 10, 50
KILLED_AT = (0.25, 0.5, 0.75)  # of the answers
COMPOSED_AT = (1 / 3, 2 / 3)  # of the scenes
REQUESTS = 32
_LONGEST_S = 3600
Row = dict[str, Any]


def rows(dialogues: int = DIALOGUES, nj: int = 2, work: Path | None = None) -> list[Row]:
    """Figures as `key`, `value`, `aim` and what they are; work: where the files go [a temporary folder]."""
    with tempfile.TemporaryDirectory(dir=work) as name, serving(answer) as (url, came):
        folder = Path(name)
        command = make_input(folder, dialogues, url, nj)
        seconds, whole_mb = run(command)
        whole = forget(folder)
        came.clear()
        kills = run_killed(command, folder, dialogues, came)
        _, last_mb = run(command)
        twice = len(came) - dialogues
        differ = different(forget(folder), whole)
    return [
        row("answers_peak_mb", round(max(whole_mb, last_mb), 1), "< 1000", f"largest process, {dialogues:,} dialogues"),
        row("answers_equal_after_kills", not differ, "true", f"files after {kills} kills; different: {differ[:3]}"),
        row("answers_kills", kills, str(len(KILLED_AT) + len(COMPOSED_AT)), "kill -9 of the whole process group"),
        row("answers_asked_twice", twice, f"<= {kills * REQUESTS}", "of killed runs: what was in flight"),
        row("answers_whole_s", round(seconds, 1), "", f"the run that was not killed, {nj} processes"),
    ]


def row(key: str, value: Any, aim: str, what: str) -> Row:
    return {"key": key, "value": value, "aim": aim, "what": what}


def answer(request: Request) -> Reply:
    """One of a few answers, always the same to a question; one in ten is cut."""
    number = int(hashlib.sha256(request["messages"][-1]["content"].encode()).hexdigest(), 16)
    return completion(f"It is answer {number % SPOKEN_ANSWERS}.", "length" if number % 10 == 0 else "stop")


def make_input(folder: Path, dialogues: int, url: str, nj: int) -> list[str]:
    """What stage 4 reads, and its command."""
    keys = [f"q-{number:06d}" for number in range(dialogues)]
    texts = {key: f"What is the answer to question {key}?" for key in keys}
    rng = np.random.default_rng(0)
    sounds = [folder / f"{number}.wav" for number in range(RECORDINGS)]
    for number, path in enumerate(sounds):
        write_wav(path, 0.1 * rng.standard_normal(4000 + 1200 * number).astype(np.float32), 16000)
    wavs = {key: sounds[number % RECORDINGS] for number, key in enumerate(keys)}
    write_set(folder / "data/asr", wavs, texts, {key: f"s{number % 40}" for number, key in enumerate(keys)})
    write_questions(
        folder / "data/qa/questions.jsonl", (Question(key, texts[key], ("yes",), "k", "p", key) for key in keys)
    )
    sets = {"train": {"qa": "qa", "speech": "asr", "speak_answers": True, "paused_share": 0.3}}
    (folder / "dialogue.yaml").write_text(yaml.safe_dump({"sets": sets}))
    (folder / "tone.py").write_text(TONE_PROGRAM)
    voice = f"program:{sys.executable} -S {folder / 'tone.py'} {{output}}"
    places = {"--data": folder / "data", "--output": folder / "dump", "--cache": folder / "cache"}
    options = {**places, "--config": folder / "dialogue.yaml", "--llm": toy_llm(folder / "llm"), "--tts": voice}
    options |= {"--answers_url": url, "--answers_requests": REQUESTS, "--nj": nj}
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "freeze_omni.bin.make_dialogue", *words]


def run_killed(command: list[str], folder: Path, dialogues: int, came: list[Request]) -> int:
    """Start the command again and again, and kill it on the way; returns how often."""
    wav = folder / "dump/train/wav"
    ways: list[Callable[[], bool]] = [lambda share=share: len(came) >= share * dialogues for share in KILLED_AT]
    ways += [lambda share=share: sum(1 for _ in wav.glob("*.wav")) >= share * dialogues for share in COMPOSED_AT]
    return sum(killed(command, reached) for reached in ways)


def killed(command: list[str], reached: Callable[[], bool]) -> bool:
    """Whether the command still ran when it came to a point, and was killed there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    start_s = time.monotonic()
    while process.poll() is None and not reached():
        if time.monotonic() - start_s > _LONGEST_S:
            break
        time.sleep(0.02)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def different(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Names of files that are not the same."""
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))


def forget(folder: Path) -> dict[str, str]:
    """Digests of what stage 4 has written, which is removed, with all that it would go on from."""
    found = {}
    for path in (path for path in (folder / "dump").rglob("[!.]*") if path.is_file()):  # a kill leaves hidden ones
        with open(path, "rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    for name in ("dump", "cache"):
        shutil.rmtree(folder / name)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=DIALOGUES)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where the files go [a temporary folder]")
    args = parser.parse_args(arguments)
    print(json.dumps(rows(args.dialogues, args.nj, args.work), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
