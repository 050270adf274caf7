"""One piece of a row's work: a command that is not run again while nothing that it was made from has changed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from freeze_omni.data.tables import write_lines

SMALL = 1_000_000  # bytes: larger files count by size and time


class StepError(RuntimeError):
    """A command that failed: names its log, and ends with the log's last lines."""


@dataclass(frozen=True)
class Step:
    """A module of freeze_omni.bin with its arguments.

    Attributes:
        name: of the step in its row.
        output: what it makes; a training's folder is moved aside, never deleted, where it was made from other inputs.
        inputs: files that it reads.
        config: written to `conf` before, where there is one.
        minutes: a training's budget; None for what is no training.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    output: Path
    inputs: tuple[Path, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    conf: Path | None = None
    minutes: float | None = None

    @property
    def command(self) -> str:
        """As one would type it."""
        return shlex.join(["python", "-m", f"freeze_omni.bin.{self.module}", *self.arguments])

    def fingerprint(self) -> str:
        """Of command, configuration and inputs."""
        made_from = [self.command, json.dumps(self.config, sort_keys=True), *map(_identity, self.inputs)]
        return hashlib.sha256("\n".join(made_from).encode()).hexdigest()


Runner = Callable[[Step, Path], None]


def run_step(step: Step, folder: Path, runner: Runner) -> bool:
    """Do the step of the row in `folder` unless it is done; whether there was something to do.

    folder/steps/<name>.json keeps the fingerprint and the seconds that were spent, those of killed runs included.
    Raises StepError where the command fails.
    """
    record = folder / "steps" / f"{step.name}.json"
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    print_now = step.fingerprint()
    same = known.get("fingerprint") == print_now
    if same and known["done"]:
        return False
    if step.minutes is not None and not same and step.output.exists():
        step.output.rename(_aside(step.output))
    if step.conf is not None:
        write_lines(step.conf, [yaml.safe_dump(step.config, sort_keys=False, allow_unicode=True)])
    before_s, started_s = known.get("seconds", 0.0) if same else 0.0, time.time()
    done = False
    try:
        _note(record, print_now, before_s, done=False)
        runner(step, folder / "log" / f"{step.name}.log")
        done = True
    finally:
        _note(record, print_now, before_s + time.time() - started_s, done)
    return True


def subprocess_runner(threads: int) -> Runner:
    """Each command as a process of its own with so many threads; output goes to the log."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if threads else ()
    environment = os.environ | dict.fromkeys(names, str(threads))

    def run(step: Step, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", f"freeze_omni.bin.{step.module}", *step.arguments]
        with log.open("w", encoding="utf-8") as stream:
            stream.write(f"# {step.command}\n")
            stream.flush()
            code = subprocess.call(
                words, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )
        if code:
            end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise StepError(f"{step.name} failed, see {log}; mend it and run the same command again\n{end}")

    return run


def spent_minutes(folder: Path, step: Step) -> float:
    """Minutes that a step of the row took; 0 where it was never run."""
    record = folder / "steps" / f"{step.name}.json"
    return json.loads(record.read_text(encoding="utf-8"))["seconds"] / 60 if record.exists() else 0.0


def _aside(folder: Path) -> Path:
    """A name with the date that nothing has yet."""
    dated = folder.with_name(f"{folder.name}.{time.strftime('%Y%m%d-%H%M%S')}")
    names = (dated if number == 1 else dated.with_name(f"{dated.name}-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _note(record: Path, fingerprint: str, seconds: float, done: bool) -> None:
    write_lines(record, [json.dumps({"fingerprint": fingerprint, "seconds": round(seconds, 1), "done": done})])


def _identity(path: Path) -> str:
    if not path.exists():
        return f"{path} missing"
    if path.stat().st_size > SMALL:
        return f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
