"""Drive the repository's shell tools from tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "utils"


def run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None, timeout_s: float = 60):
    """Run a command without stdin; the result has returncode, stdout and stderr (text)."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def ok(*command: object, cwd: Path | None = None) -> str:
    """Run a command that must succeed; returns its stdout."""
    result = run(*command, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout


def make_data_dir(folder: Path, utterances: int = 6, speakers: int = 2) -> Path:
    """A whole data directory: ids s<speaker>-u<number>, 50 ms of noise each at 16 kHz."""
    folder.mkdir(parents=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(800)
    wav, text, utt2spk, spk2utt = [], [], [], []
    digits = len(str(utterances - 1))
    for speaker in range(speakers):
        keys = [f"s{speaker}-u{i:0{digits}}" for i in range(speaker, utterances, speakers)]
        for key in keys:
            path = folder / "wav" / f"{key}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, noise, 16000)
            wav.append(f"{key} {path}\n")
            text.append(f"{key} Words of {key}.\n")
            utt2spk.append(f"{key} s{speaker}\n")
        spk2utt.append(f"s{speaker} {' '.join(keys)}\n")
    for name, lines in {
        "wav.scp": wav,
        "text": text,
        "utt2spk": utt2spk,
        "spk2utt": spk2utt,
    }.items():
        (folder / name).write_text("".join(lines))
    return folder


def ids(path: Path) -> list[str]:
    """First words of the lines of a table."""
    return [line.split()[0] for line in path.read_text().splitlines()]
