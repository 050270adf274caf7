"""utils/run.pl and slurm.pl: jobs with logs."""

import os
import time

import pytest

from tests.shell.bash import ROOT, UTILS, ok, run

pytestmark = pytest.mark.processes

RUN = UTILS / "run.pl"


def test_array_writes_a_log_for_each_job(tmp_path):
    ok(RUN, "JOB=1:3", "log/x.JOB.log", "echo", "it's job JOB, $HOME <sos/eos>", cwd=tmp_path)
    for job in (1, 2, 3):
        lines = (tmp_path / f"log/x.{job}.log").read_text().splitlines()
        assert lines[0].startswith("# echo ")
        assert lines[1].startswith("# Running on ")
        assert lines[3] == f"it's job {job}, $HOME <sos/eos>"
        assert lines[-1].startswith("# Ended (code 0) at ")


def test_pipes_and_redirections_reach_bash(tmp_path):
    ok(RUN, "a.log", "printf", "b\\na\\n", "|", "sort", ">out", cwd=tmp_path)
    assert (tmp_path / "out").read_text() == "a\nb\n"
    assert run(RUN, "b.log", "false", "|", "cat", cwd=tmp_path).returncode == 1


def test_failure_names_the_logs_and_keeps_the_code(tmp_path):
    result = run(RUN, "JOB=1:3", "x.JOB.log", "test", "JOB", "-eq", "2", cwd=tmp_path)
    assert result.returncode == 1
    assert "2 of 3 jobs failed, log is in x.1.log x.3.log" in result.stderr
    assert "# Ended (code 1)" in (tmp_path / "x.3.log").read_text()


def test_jobs_run_at_once_unless_limited(tmp_path):
    start = time.monotonic()
    ok(RUN, "--mem", "4G", "JOB=1:4", "x.JOB.log", "sleep", "0.4", cwd=tmp_path)
    together = time.monotonic() - start
    start = time.monotonic()
    ok(RUN, "--max-jobs-run", "1", "JOB=1:4", "x.JOB.log", "sleep", "0.4", cwd=tmp_path)
    assert together < time.monotonic() - start


def test_one_log_for_many_jobs_is_refused(tmp_path):
    result = run(RUN, "JOB=1:2", "x.log", "true", cwd=tmp_path)
    assert result.returncode != 0
    assert "must have JOB in its name" in result.stderr


def test_slurm_hands_the_job_to_sbatch(tmp_path):
    (tmp_path / "sbatch").write_text('#!/bin/bash\necho "$@" >asked\nexport SLURM_ARRAY_TASK_ID=2\nbash -s\n')
    (tmp_path / "sbatch").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["--num-threads", "2", "--gpu", "1", "JOB=1:3", "x.JOB.log", "echo", "it's", "JOB"]
    result = run(UTILS / "slurm.pl", *words, cwd=tmp_path, env=env)
    assert result.returncode == 0, result.stderr
    asked = (tmp_path / "asked").read_text()
    assert "--cpus-per-task=2 --gres=gpu:1 --array=1-3" in asked
    assert "it's 2\n" in (tmp_path / "x.2.log").read_text()


def test_the_lines_for_slurm_in_cmd_sh_are_ready_to_use(tmp_path):
    """They are the same in every recipe, and what they ask of the queue is in slurm's own names."""
    (lines,) = {path.read_text() for path in (ROOT / "egs").glob("*/*/cmd.sh")}
    (tmp_path / "cmd.sh").write_text(lines.replace("# export", "export"))
    (tmp_path / "sbatch").write_text('#!/bin/bash\necho "$@" >asked\nbash -s\n')
    (tmp_path / "sbatch").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{UTILS}:{os.environ['PATH']}"}
    asked = {"cuda": "--partition=gpu --time=48:00:00 --mem=64G --cpus-per-task=8 --gres=gpu:2"}
    asked["decode"] = "--partition=cpu --time=12:00:00 --mem=16G"
    for name, gpus in (("cuda", "--gpu 2"), ("decode", "")):
        script = f". ./cmd.sh; ${name}_cmd {gpus} x.log echo done"
        result = run("bash", "-c", script, cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stderr
        assert asked[name] in (tmp_path / "asked").read_text() and "\ndone\n" in (tmp_path / "x.log").read_text()
