"""Running work has an owner: it ends with what started it, and two runs do not share a folder."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shell.bash import ROOT, UTILS

pytestmark = pytest.mark.processes

COMMON = ROOT / "egs/TEMPLATE/s2s1/stages/00_common.sh"
WAIT_S = 40  # for a busy machine
WORK = (
    'work() { mkdir -p exp/work; echo "$BASHPID" >exp/work/pid; until [ -e go ]; do sleep 0.1; done; echo ran >>ran; }'
)
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


def start(folder: Path, *command: object, **env: str) -> subprocess.Popen:
    words = [str(word) for word in command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=folder, env={**os.environ, **env}, **pipes)


def once(folder: Path, word: str) -> subprocess.Popen:
    begin = f"set -euo pipefail; expdir=exp; mkdir -p exp/.stages; . {shlex.quote(str(COMMON))}"
    return start(folder, "bash", "-c", f"{begin}; {WORK}; once work {word} -- work")


def until(holds, what: str):
    deadline = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def said(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def runs(pid: str) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    return bool(found) and not found.startswith("Z")


def test_a_second_run_with_the_same_inputs_waits_and_has_nothing_to_do(tmp_path):
    first = once(tmp_path, "word")
    until(lambda: said(tmp_path / "exp/work/pid"), "it does not begin")
    second = once(tmp_path, "word")
    until(lambda: "waiting" in second.stdout.readline(), "it does not wait")
    (tmp_path / "go").touch()
    assert "nothing changed" in second.communicate(timeout=WAIT_S)[0] and first.wait(WAIT_S) == 0
    assert said(tmp_path / "ran") == "ran"


def test_a_second_run_with_other_inputs_stops_and_says_who_works(tmp_path):
    first = once(tmp_path, "word")
    until(lambda: said(tmp_path / "exp/work/pid"), "it does not begin")
    output = once(tmp_path, "other").communicate(timeout=WAIT_S)[0]
    assert f"process {first.pid} on " in output and "with other inputs" in output
    assert not list((tmp_path / "exp").glob("work.*")), "the folder was moved under the first run"
    (tmp_path / "go").touch()
    assert first.wait(WAIT_S) == 0


def test_a_run_on_another_machine_holds_its_work_for_a_minute(tmp_path):
    (tmp_path / "exp/.stages").mkdir(parents=True)
    (tmp_path / "go").touch()
    lock = tmp_path / "exp/.stages/work.lock"
    lock.write_text(f"elsewhere 1 {int(time.time())} 1-2\n")
    assert (
        "process 1 on elsewhere works on it with other inputs" in once(tmp_path, "word").communicate(timeout=WAIT_S)[0]
    )
    lock.write_text(f"elsewhere 1 {int(time.time()) - 61} 1-2\n")
    assert once(tmp_path, "word").wait(WAIT_S) == 0
    assert said(tmp_path / "ran") == "ran"


@pytest.mark.parametrize("end", ENDS)
def test_work_ends_with_its_run_and_is_free_for_the_next(tmp_path, end):
    first = once(tmp_path, "word")
    pid = until(lambda: said(tmp_path / "exp/work/pid"), "it does not begin")
    first.send_signal(end)
    assert first.wait(WAIT_S) == (-end if end == signal.SIGKILL else 128 + end)
    until(lambda: not runs(pid), "the work outlives its run")
    (tmp_path / "go").touch()
    assert once(tmp_path, "word").wait(WAIT_S) == 0


@pytest.mark.parametrize("end", ENDS)
def test_jobs_end_with_run_pl(tmp_path, end):
    job = "echo $$ >pid.JOB; sleep 600 & echo $! >child.JOB; wait"
    run = start(tmp_path, UTILS / "run.pl", "JOB=1:2", "log.JOB", "bash", "-c", job)
    names = ("pid.1", "pid.2", "child.1", "child.2")
    pids = until(lambda: all(found := [said(tmp_path / name) for name in names]) and found, "they do not begin")
    run.send_signal(end)
    until(lambda: not any(map(runs, pids)), "jobs outlive run.pl")
    run.wait(WAIT_S)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("number", "cancelled"), [("77", "77"), ("78;far", "-M far 78")])
def test_a_job_of_the_queue_is_cancelled_with_slurm_pl(tmp_path, end, number, cancelled):
    scripts = {
        "sbatch": f"cat >script; echo '{number}'; echo $$ >pid; exec sleep 600",
        "scancel": 'echo "$*" >cancelled',
    }
    for name, line in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    run = start(tmp_path, UTILS / "slurm.pl", "log", "true", PATH=f"{tmp_path}:{os.environ['PATH']}")
    pid = until(lambda: said(tmp_path / "pid"), "it does not begin")
    time.sleep(0.3)  # slurm.pl has read the number
    run.send_signal(end)
    assert until(lambda: said(tmp_path / "cancelled"), "the job runs on") == cancelled
    until(lambda: not runs(pid), "sbatch runs on")
    run.wait(WAIT_S)


def test_a_job_of_the_queue_that_ends_is_not_cancelled(tmp_path):
    scripts = {"sbatch": "cat >script; echo 77", "scancel": 'echo "$*" >cancelled'}
    for name, line in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    run = start(tmp_path, UTILS / "slurm.pl", "log", "true", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert run.wait(WAIT_S) == 0
    time.sleep(0.3)
    assert not (tmp_path / "cancelled").exists()


def test_recipes_are_ended_with_their_stages():
    """A `kill` of run.sh reaches s2s.sh only if they are one process."""
    for path in sorted((ROOT / "egs").glob("*/*/run.sh")):
        options = path.with_name("local") / "options.sh"  # of the ablations
        assert "exec ./s2s.sh" in path.read_text() or "owned" in options.read_text(), path


@pytest.mark.parametrize("end", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_may_save_before_it_ends(tmp_path, end):
    """A training does so by SIGUSR1, which Slurm sends before a limit of time, and by SIGTERM."""
    job = "import signal, sys, time\n"
    job += "ends = lambda number, _: (time.sleep(4), open('saved', 'w'), sys.exit(128 + number))\n"
    job += "for one in (signal.SIGUSR1, signal.SIGTERM): signal.signal(one, ends)\n"
    job += "open('ready', 'w'); time.sleep(600)"
    run = start(tmp_path, UTILS / "run.pl", "log", sys.executable, "-c", job)
    until((tmp_path / "ready").exists, "it does not begin")
    run.send_signal(end)
    assert run.wait(WAIT_S) == 1 and (tmp_path / "saved").exists()
    if end == signal.SIGUSR1:
        assert f"# Ended (code {128 + end})" in (tmp_path / "log").read_text()
