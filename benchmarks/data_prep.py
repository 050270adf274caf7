#!/usr/bin/env python3
"""How fast data preparation is: a corpus in LibriSpeech's layout, made of tiny FLAC files, through stages 1 and 2.

    benchmarks/data_prep.py [--utterances 28539] [--nj 1 2] [--output figures.json]

Prints seconds, utterances a second and the most memory of a process for each step and number of processes. The
default is the size of train-clean-100: 251 readers, 585 chapters, 28,539 utterances.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from freeze_omni.eval.provenance import provenance

READERS, CHAPTERS, UTTERANCES = 251, 585, 28539
STEPS = {
    "prepare_corpus (stage 1)": ["prepare_corpus", "librispeech", "--root", "{corpus}", "--data", "{data}"],
    "validate_data_dir (stage 1)": ["validate_data_dir", "--role", "asr", "{data}/train_clean_100"],
    "format_wav_scp (stage 2)": ["format_wav_scp", "{data}/train_clean_100", "{dump}/raw", "--min_s", "0.1"],
}
TAKES_NJ = ("prepare_corpus", "format_wav_scp")


def make_corpus(root: Path, utterances: int, seconds: float) -> None:
    """The layout of train-clean-100; every file is one of its own on the disk."""
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


def measure(work: Path, nj: int) -> list[dict[str, object]]:
    """Run the steps from nothing with nj processes."""
    for name in ("data", "dump"):
        shutil.rmtree(work / name, ignore_errors=True)
    places = {"corpus": work / "corpus", "data": work / "data", "dump": work / "dump"}
    rows = []
    for title, (module, *words) in STEPS.items():
        command = [sys.executable, "-m", f"freeze_omni.bin.{module}", *(word.format(**places) for word in words)]
        if module in TAKES_NJ:
            command += ["--nj", str(nj)]
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows.append({"step": title, "nj": nj if module in TAKES_NJ else 1, "seconds": time.monotonic() - start})
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of every file")
    parser.add_argument("--nj", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", type=Path, help="where the files go [a temporary folder]")
    parser.add_argument("--output", type=Path, help="write the figures as JSON too")
    args = parser.parse_args(arguments)
    started_s = time.time()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        work = Path(folder)
        (work / "corpus").mkdir()
        make_corpus(work / "corpus", args.utterances, args.seconds)
        print(f"{args.utterances} files made in {time.time() - started_s:.0f} s; {os.cpu_count()} cores")
        rows = [row for nj in args.nj for row in measure(work, nj)]
    for row in rows:
        row["utterances_per_s"] = args.utterances / row["seconds"]
        print(f"{row['step']:<30}nj {row['nj']}  {row['seconds']:7.1f} s  {row['utterances_per_s']:8.0f} utterances/s")
    for number, nj in enumerate(args.nj):
        whole = sum(row["seconds"] for row in rows[number * len(STEPS) : (number + 1) * len(STEPS)])
        print(f"nj {nj}: {whole:.1f} s in all")
    most_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"most memory of a process: {most_mb:.0f} MB")
    if args.output:
        figures = {"utterances": args.utterances, "rows": rows, "most_mb": most_mb}
        args.output.write_text(json.dumps(figures | {"provenance": provenance(None, started_s)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
