"""A folder has one process that works in it."""

import os
import subprocess
import sys

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data.lock import claim

HOLD = (
    "import sys, pathlib; from freeze_omni.data.lock import claim; claim(pathlib.Path('.')); print(); sys.stdin.read()"
)


def test_another_process_is_named_until_it_ends_however_it_does(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": tmp_path}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as other:
        other.stdout.readline()
        with pytest.raises(ConfigError, match=rf"process {other.pid} on .* works in it"):
            claim(tmp_path)
        other.kill()
    claim(tmp_path)
    claim(tmp_path)  # one's own folder
    assert str(os.getpid()) in (tmp_path / ".lock").read_text()
