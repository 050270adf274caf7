#!/usr/bin/env python3
"""How fast data preparation is: a corpus in LibriSpeech's layout, made of tiny FLAC files, through stages 1 and 2.

    python -m benchmarks.data_prep [--utterances 28539] [--nj 1 2]

Measures seconds, utterances a second and the memory of the largest process for each step and number of processes, on
the corpus and on a quarter of it, so that memory which grows with the corpus shows. Prints a table, writes it to
docs/benchmarks.md, and the figures to docs/benchmarks/data_prep.json. The default is the size of train-clean-100: 251
readers, 585 chapters, 28,539 utterances.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.generated import put
from freeze_omni.eval.report import table
from freeze_omni.provenance import processor, provenance

ROOT = Path(__file__).resolve().parents[1]
READERS, CHAPTERS, UTTERANCES = 251, 585, 28539
STEPS = {
    "prepare_corpus (stage 1)": ["prepare_corpus", "librispeech", "--root", "{corpus}", "--data", "{data}"],
    "validate_data_dir (stage 1)": ["validate_data_dir", "--role", "asr", "{data}/train_clean_100"],
    "format_wav_scp (stage 2)": ["format_wav_scp", "{data}/train_clean_100", "{dump}/raw", "--min_s", "0.1"],
}
TAKES_NJ = ("prepare_corpus", "format_wav_scp")
METER = Path(__file__).with_name("meter.py")
AIMS = {"utterances_per_s": 2000, "whole_s": 60}


def make_corpus(root: Path, utterances: int, seconds: float) -> None:
    """The layout of train-clean-100; every file is a separate one on the disk."""
    sound = 0.1 * np.random.default_rng(0).standard_normal(int(16000 * seconds))
    soundfile.write(root / "one.flac", sound, 16000)
    content = (root / "one.flac").read_bytes()
    chapters = min(CHAPTERS, utterances)
    for chapter in range(chapters):
        reader = chapter * min(READERS, chapters) // chapters + 1000
        folder = root / "LibriSpeech" / "train-clean-100" / str(reader) / str(chapter)
        folder.mkdir(parents=True)
        count = utterances * (chapter + 1) // chapters - utterances * chapter // chapters
        keys = [f"{reader}-{chapter}-{number:04d}" for number in range(count)]
        for key in keys:
            (folder / f"{key}.flac").write_bytes(content)
        lines = (f"{key} IT IS UTTERANCE {key.upper()}\n" for key in keys)
        (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))


def measure(work: Path, utterances: int, nj: int) -> list[dict[str, Any]]:
    """Run the steps from nothing with nj processes."""
    for name in ("data", "dump"):
        shutil.rmtree(work / name, ignore_errors=True)
    places = {"corpus": work / "corpus", "data": work / "data", "dump": work / "dump"}
    rows = []
    for title, (module, *words) in STEPS.items():
        command = [sys.executable, "-m", f"freeze_omni.bin.{module}", *(word.format(**places) for word in words)]
        if module in TAKES_NJ:
            command += ["--nj", str(nj)]
        seconds, megabytes = run(command)
        rate = utterances / seconds
        row = {"step": title, "utterances": utterances, "nj": nj, "seconds": seconds, "utterances_per_s": rate}
        rows.append({**row, "most_mb": megabytes})
    return rows


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds, and MB of the largest of the command's processes. Raises CalledProcessError."""
    start = time.monotonic()
    most_mb, _ = memory_mb(command)
    return time.monotonic() - start, most_mb


def memory_mb(command: Sequence[str]) -> tuple[float, float]:
    """MB of the largest of the command's processes, and without mapped files. Raises CalledProcessError."""
    meter = [sys.executable, "-S", str(METER), *command]
    run = subprocess.run(meter, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    resident, own = (int(kb) / 1024 for kb in run.stdout.split())
    return resident, own


def markdown(figures: Mapping[str, Any]) -> str:
    """The generated part of docs/benchmarks.md: a row for each step and number of processes."""
    small, large = sorted({row["utterances"] for row in figures["rows"]})
    found = {(row["step"], row["nj"], row["utterances"]): row for row in figures["rows"]}
    numbers = sorted({row["nj"] for row in figures["rows"]})
    lines = []
    for step in STEPS:
        for nj in numbers if STEPS[step][0] in TAKES_NJ else numbers[:1]:
            row, quarter = found[step, nj, large], found[step, nj, small]
            speed = [f"{row['seconds']:.1f} s", f"{row['utterances_per_s']:,.0f}", f">= {AIMS['utterances_per_s']:,}"]
            lines.append([step, nj, *speed, f"{quarter['most_mb']:.0f} MB", f"{row['most_mb']:.0f} MB"])
    for nj in numbers:
        whole = sum(found[step, nj, large]["seconds"] for step in STEPS)
        lines.append(["all three", nj, f"{whole:.1f} s", f"{large / whole:,.0f}", f"< {AIMS['whole_s']} s", "", ""])
    made = figures["provenance"]
    machine = made["machine"]
    head = ["step", "processes", "time", "utterances a second", "aim", f"memory, {small:,} utterances", f"{large:,}"]
    return "\n".join(
        [
            "## Data preparation",
            "",
            f"A corpus in LibriSpeech's layout: {large:,} FLAC files of {figures['seconds_each']} s, nothing to "
            "resample. Memory is that of the largest process; it must not grow with the corpus.",
            "",
            *table(head, lines),
            f"`python -m benchmarks.{made['command'].replace('.py', '', 1)}`, commit {made['commit']}, "
            f"{processor(machine)}, {machine['memory_gb']} GB, {made['date']}.",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of every file")
    parser.add_argument("--nj", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", type=Path, help="where the files go [a temporary folder]")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/data_prep.json")
    parser.add_argument("--table", type=Path, default=ROOT / "docs/benchmarks.md", help="document to put it into")
    args = parser.parse_args(arguments)
    started_s, rows = time.time(), []
    for utterances in (args.utterances // 4, args.utterances):
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            work = Path(folder)
            (work / "corpus").mkdir()
            make_corpus(work / "corpus", utterances, args.seconds)
            rows += [row for nj in args.nj for row in measure(work, utterances, nj)]
    made = {"provenance": provenance(None, started_s)}
    figures = {"utterances": args.utterances, "seconds_each": args.seconds, "aims": AIMS, "rows": rows} | made
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    put(args.table, "data_prep", markdown(figures))
    print(f"{markdown(figures)}\n\nwrote {args.output} and {args.table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
