"""Work by helper processes: in order, and with an end when one of the processes is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data import progress
from freeze_omni.data.progress import parallel_map


def _double(number: int) -> int:
    return 2 * number


def _killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _fails(number: int) -> int:
    raise ValueError(f"number {number}")


def test_results_come_in_order():
    assert list(parallel_map(_double, range(9), 2, "doubling", chunk=2)) == [2 * number for number in range(9)]


def test_a_log_has_a_line_now_and_then_and_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    assert list(parallel_map(lambda item: time.sleep(0.03) or item, range(6), 1, "sleeping")) == list(range(6))
    lines = [line.rsplit(" in ", 1)[0] for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == "sleeping: 6" and 1 <= len(lines) - 1 < 5 and "of 6" in lines[0]


def test_a_killed_helper_is_an_error():
    with pytest.raises(ConfigError, match="doubling: a helper process was killed.*--nj"):
        list(parallel_map(_killed, range(9), 2, "doubling"))


def test_an_error_of_the_work_is_its_own():
    with pytest.raises(ValueError, match="number 0"):
        list(parallel_map(_fails, range(3), 2, "doubling"))


def test_helpers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "work.py").write_text(
        "import os, pathlib, time\n"
        "from freeze_omni.data.progress import parallel_map\n"
        "def work(n):\n"
        "    pathlib.Path(f'pid{n}').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(parallel_map(work, range(2), 2, 'sleep'))\n"
    )
    parent = subprocess.Popen([sys.executable, "work.py"], cwd=tmp_path)
    deadline = time.monotonic() + 50
    while len(pids := [int(path.read_text() or 0) for path in tmp_path.glob("pid*")]) < 2 or 0 in pids:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "helpers outlive their parent"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(found) and not found.startswith("Z")
