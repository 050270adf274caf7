"""The memory of a command's processes: what they hold, and what is mapped."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.data_prep import memory_mb

HOLD = "import time; held = b'x' * (80 << 20); time.sleep(0.3)"
MAP = """
import mmap, sys, time
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
read = sum(mapped[at] for at in range(0, len(mapped), 4096))
time.sleep(0.3)
"""


def test_what_a_child_holds_is_its_own(tmp_path):
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    resident, own = memory_mb([sys.executable, "-c", child])
    assert 80 < own <= resident < 200


def test_a_mapped_file_is_not(tmp_path):
    file = tmp_path / "library"
    file.write_bytes(b"x" * (80 << 20))
    resident, own = memory_mb([sys.executable, "-c", MAP, str(file)])
    assert own < 40 and resident > 80


def test_a_command_that_fails_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        memory_mb([sys.executable, "-c", "raise SystemExit(3)"])
