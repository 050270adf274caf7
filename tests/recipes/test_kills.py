"""kill -9 at a random moment of each of the 14 stages of the tiny recipe: run again, it ends as if nothing had been.

`tests/run.sh --kills`: ten rounds, most of an hour; CI does not run it. Trainings have a number of steps in place of
minutes, so that two runs can be equal. What is killed is the run, one of the processes that it has started, or all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml

from tests.recipes.miniature_recipes import EGS, toy_conf

pytestmark = pytest.mark.kills

RECIPE = EGS / "mini/s2s1"
STAGES = range(1, 15)
ROUNDS = int(os.environ.get("FREEZE_OMNI_KILL_ROUNDS", 10))
PLACES = {"data", "dump", "exp"}
TABLES = {"text", "answer", "history", "states", "scene", "wav.scp", "utt2spk", "feats.scp", "tokens", "durations"}
TIMES = {"latency", "real_time_factor", "stage_seconds", "facts", "provenance", "first_audio_s", "wall_min", "sources"}


def conf(folder: Path) -> Path:
    made = toy_conf(folder)
    for path in made.glob("[12].*.yaml"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"max_minutes": None}))
    return made


def start(folder: Path, stage: int) -> subprocess.Popen:
    words = ["./run.sh", "--scale", "tiny", "--conf", folder / "tiny", "--nthreads", 1]
    words += [word for name in sorted(PLACES) for word in (f"--{name}dir", folder / name)]
    words += ["--stage", stage, "--stop_stage", stage]
    log = (folder / f"log.{stage}").open("a")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    return subprocess.Popen([str(word) for word in words], cwd=RECIPE, start_new_session=True, **pipes)


def finish(folder: Path, stage: int) -> float:
    """Run a stage to its end; its seconds."""
    begin_s = time.monotonic()
    code = start(folder, stage).wait()
    log = folder / f"log.{stage}"
    assert code == 0, f"stage {stage} ended with {code}; {log}: {log.read_text()[-3000:]}"
    return time.monotonic() - begin_s


def kill(run: subprocess.Popen, draw: random.Random) -> str:
    """What was killed, in words; nothing if the run had ended."""
    if run.poll() is not None:
        return ""
    found = subprocess.run(["pgrep", "--session", str(run.pid)], capture_output=True, text=True).stdout.split()
    everyone = [int(pid) for pid in found]  # run.sh has a session of its own
    kind = draw.choice(("the run", "one of its processes", "all of them"))
    chosen = {"the run": [run.pid], "one of its processes": [draw.choice(everyone)], "all of them": everyone}
    for pid in chosen[kind]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.wait()
    return kind


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Seconds of each stage and what a run without kills made; once for all workers of pytest."""
    root = tmp_path_factory.getbasetemp().parent / "undisturbed"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = root / "found.json"
        if not file.exists():
            conf(root)
            seconds = [finish(root, stage) for stage in STAGES]
            file.write_text(json.dumps([seconds, outcome(root)]))
    return json.loads(file.read_text())


def outcome(root: Path) -> dict[str, str | list[str]]:
    """What a run made: for each file a digest, without what measures time, and without the place of the run."""
    found: dict[str, str | list[str]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name == "exp/results.json":
            found[name] = _scores(json.loads(path.read_text()))
        elif path.name == "records.jsonl" and "latency" not in name and "duplex" not in name:
            found[name] = sorted(_scores(json.loads(line)) for line in path.read_text().splitlines())
        elif path.name == "valid.loss.ave.pth":
            weights = sorted(torch.load(path, weights_only=True).items())
            found[name] = [f"{key} {_digest(tensor.numpy().tobytes())}" for key, tensor in weights]
        elif path.name in TABLES and path.is_file() and name.split("/")[0] in PLACES - {"exp"}:
            found[name] = _digest(path.read_bytes().replace(str(root).encode(), b""))
    return found


def _scores(value: object) -> str:
    def without_times(value: object) -> object:
        if isinstance(value, dict):
            kept = {key: part for key, part in value.items() if key not in TIMES and not key.endswith(("_s", "_ms"))}
            return {key: without_times(part) for key, part in kept.items()}
        return value

    return json.dumps(without_times(value), sort_keys=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_that_was_killed_in_each_stage_ends_as_if_nothing_had_been(seed, undisturbed, tmp_path):
    seconds, expected = undisturbed
    draw, killed = random.Random(seed), []
    conf(tmp_path)
    for stage in STAGES:
        run = start(tmp_path, stage)
        time.sleep(draw.uniform(0, seconds[stage - 1]))
        killed.append(kill(run, draw))
        finish(tmp_path, stage)
    found = outcome(tmp_path)
    print(f"round {seed}: killed {killed}")
    assert sum(map(bool, killed)) > len(STAGES) / 2
    assert {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)} == set()
    assert not [path.name for path in (tmp_path / "exp").iterdir() if ".20" in path.name], "work began anew"
