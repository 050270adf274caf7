"""The client runs where there is no torch: on the machine of a user, not on that of the model."""

from __future__ import annotations

import subprocess
import sys


def test_the_client_does_not_load_torch():
    code = "import sys, freeze_omni.client.terminal, freeze_omni.bin.chat; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
