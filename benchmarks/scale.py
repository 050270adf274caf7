"""What holds at the size of a cluster.

    python -m benchmarks.scale [resume_loss_difference ...]

Measures the figures that are named, or all, and puts each under its key into docs/benchmarks/scale.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from freeze_omni.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
EPOCH, SAVE_STEPS, NEXT = 60, 10, 20  # updates
WAIT_S = 300.0
RECORDINGS = 600  # of 8 s: a minute of one core


def resume_loss_difference_shards(work: Path) -> float:
    """`resume_loss_difference` of a training that reads tar shards, one at a time."""
    return resume_loss_difference(work, shards=2)


def resume_loss_difference(work: Path, shards: int = 0) -> float:
    """The largest difference of the next 20 losses of a toy training (stage 1.1) to those of one that ran through.

    It is ended in its second epoch: by SIGTERM at a random update, and by SIGKILL, which leaves what save_steps wrote.
    Everything draws at random: augmentation in two processes that read data, joined rows, masks, dropout.
    """
    from freeze_omni.data.prepare import PrepareConfig, prepare_dir
    from freeze_omni.llm.units import CtcUnits
    from tests.tasks.corpus import ENCODER, TEXTS, write_corpus

    write_corpus(work / ("raw" if shards else "data"))
    if shards:
        prepare_dir(work / "raw", work / "data", PrepareConfig(shards=shards))
    CtcUnits.from_characters(TEXTS).save(work / "units")
    model = {"encoder": ENCODER | {"dropout": 0.2}, "augment": {}, "spec_augment": {}, "join": {"utterances": 2}}
    conf = {
        "model": model,
        "optim_conf": {"lr": 2e-3},
        "scheduler": "budgetcosine",
        "batch_type": "unsorted",
        "batch_size": 2,
        "max_epoch": 2,
        "num_iters_per_epoch": EPOCH,
        "save_steps": SAVE_STEPS,
        "shard_window": 1,
        "num_workers": 2,
        "log_interval": 1,
        "use_matplotlib": False,
    }
    (work / "train.yaml").write_text(yaml.safe_dump(conf), encoding="utf-8")
    whole = _losses(_trained(work, "whole"))
    found = []
    for end in (signal.SIGTERM, signal.SIGKILL):
        done = _ended(work, end)
        resumed = _losses(_trained(work, end.name))
        pairs = zip(whole[done : done + NEXT], resumed[done : done + NEXT], strict=True)
        found.append(max(abs(one - other) for one, other in pairs))
    return max(found)


def _begin(work: Path, name: str) -> BaseProcess:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["freeze_omni.tasks.encoder"])
    words = ["encoder", "--config", str(work / "train.yaml"), "--output_dir", str(work / name)]
    words += ["--train_dir", str(work / "data"), "--valid_dir", str(work / "data"), "--units", str(work / "units")]
    process = forks.Process(target=_train, args=(words,))
    process.start()
    return process


def _train(words: list[str]) -> None:
    from freeze_omni.bin.train import main as train

    multiprocessing.set_start_method("fork", force=True)  # of what reads data, as from the command line
    train(words)


def _trained(work: Path, name: str) -> Path:
    """The folder of a training that runs to its end. Raises RuntimeError."""
    process = _begin(work, name)
    process.join(WAIT_S)
    if process.exitcode != 0:
        process.terminate()
        raise RuntimeError(f"{work / name}: the training ended with code {process.exitcode}")
    return work / name


def _ended(work: Path, end: signal.Signals) -> int:
    """End a training by a signal; batches of the epoch that its checkpoint has. Raises RuntimeError."""
    import torch

    process, folder = _begin(work, end.name), work / end.name
    at, deadline = random.randrange(SAVE_STEPS + 1, EPOCH - 2 * NEXT), time.monotonic() + WAIT_S
    while _updates(folder / "train.log") < at and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid or 0, end)
    process.join(WAIT_S)
    expected = -end if end == signal.SIGKILL else 128 + end
    if process.exitcode != expected:
        raise RuntimeError(f"{folder}: {end.name} ended it with code {process.exitcode}, not {expected}")
    return torch.load(folder / "checkpoint.pth", weights_only=True)["inside"]["batches"]


def _updates(log: Path) -> int:
    """Of the second epoch, by the log of a training."""
    found = re.findall(r" 2epoch:train:(\d+)-", log.read_text(encoding="utf-8")) if log.exists() else []
    return int(found[-1]) if found else 0


def _losses(folder: Path) -> list[float]:
    """Of every batch of the last epoch, by the checkpoint that save_steps wrote after its last update."""
    import torch

    inside = torch.load(folder / "checkpoint.previous.pth", weights_only=True)["inside"]
    return inside["figures"]["values"]["loss"][:, 0].tolist()


def answers(work: Path) -> dict[str, Any]:
    """Stage 4 of 60,000 dialogues with answers from a server: see benchmarks/scale_answers.py. 20 minutes and more."""
    from benchmarks.scale_answers import rows

    return {row["key"]: row["value"] for row in rows(work=work)}


def ray_sessions_lost(work: Path) -> int:
    """Of 30 sessions on two Ray nodes, one of which is killed: see benchmarks/scale_ray.py."""
    from benchmarks.scale_ray import sessions_lost

    return sessions_lost(work)


def corpus(work: Path) -> dict[str, Any]:
    """2,000,000 utterances, their memory and the start of an epoch: see benchmarks/scale_corpus.py. 20 minutes."""
    from benchmarks.scale_corpus import corpus as measured

    return measured(work)


def shard_read_ratio(work: Path) -> float:
    """How fast a training reads shards, by the disk's own speed: see benchmarks/scale_corpus.py."""
    from benchmarks.scale_corpus import shard_read_ratio as measured

    return measured(work)


def nj2_speedup(work: Path, recordings: int = RECORDINGS, rounds: int = 2) -> dict[str, Any]:
    """How much faster two processes prepare data than one: stage 2 with everything it can have to do.

    Recordings of 44.1 kHz are decoded, resampled, padded and written at three speeds, by the command of the stage. The
    shortest of some runs each, in turn; what both make is compared. Wants two free cores: `load` says what ran before.
    """
    from freeze_omni.data.audio import write_wav
    from freeze_omni.data.kaldi_dir import write_set

    load, names = os.getloadavg()[0], [f"s{number % 9}-u{number:05d}" for number in range(recordings)]
    for number, name in enumerate(names):
        sound = 0.1 * np.random.default_rng(number).standard_normal(44100 * (4 + number % 9))
        write_wav(work / "wav" / f"{name}.wav", sound.astype(np.float32), 44100)
    tables = {name: str(work / "wav" / f"{name}.wav") for name in names}
    write_set(work / "data", tables, dict.fromkeys(names, "words"), {name: name.split("-")[0] for name in names})
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for nj in (1, 2) * rounds:
        out = work / f"nj{nj}"
        shutil.rmtree(out, ignore_errors=True)
        words = [str(work / "data"), str(out), "--speeds", "0.9 1.0 1.1", "--pad_s", "0.1", "0.3", "--nj", str(nj)]
        started_s = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "freeze_omni.bin.format_wav_scp", *words], check=True, stdout=subprocess.DEVNULL
        )
        seconds[nj].append(time.monotonic() - started_s)
    one, two = ((work / f"nj{nj}/wav.scp").read_text().replace(f"/nj{nj}/", "/") for nj in (1, 2))
    if one != two:
        raise RuntimeError(f"{work}: two processes prepare other data than one")
    rows = {"recordings": recordings, "seconds_nj1": seconds[1], "seconds_nj2": seconds[2], "load": load}
    return {"nj2_speedup": min(seconds[1]) / min(seconds[2]), "nj2_runs": rows}


FIGURES: dict[str, Callable[[Path], Any]] = {
    "resume_loss_difference": resume_loss_difference,
    "resume_loss_difference_shards": resume_loss_difference_shards,
    "answers": answers,
    "ray_sessions_lost": ray_sessions_lost,
    "corpus": corpus,
    "shard_read_ratio": shard_read_ratio,
    "nj2_speedup": nj2_speedup,
}
"""Each gives the value under its name, or several by name."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)} [all]")
    parser.add_argument("--work", type=Path, help="where the files go [a temporary folder]")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/scale.json")
    args = parser.parse_args(arguments)
    if unknown := set(args.figures) - set(FIGURES):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    for name in args.figures or FIGURES:
        started_s = time.time()
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            value = FIGURES[name](Path(folder))
        record = json.loads(args.output.read_text(encoding="utf-8")) if args.output.exists() else {}
        record |= value if isinstance(value, dict) else {name: value}
        record.setdefault("made", {})[name] = provenance(None, started_s)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
