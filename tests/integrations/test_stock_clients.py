"""pipecat and LiveKit Agents, unchanged from PyPI, as docs/integrations uses them, on a server with a toy model.

They live in an environment of their own, and so do the scenarios: each prints what it saw as a line of JSON a step.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.server.rig import serving
from tests.shell.bash import ROOT
from tests.toy import only_words, toy_system

pytestmark = pytest.mark.integrations
STEPS = ("greeting", "first turn", "second turn", "barge-in", "text turn", "tools", "turn after tools")


@pytest.fixture(scope="module")
def python():
    found = subprocess.run([ROOT / "tools/installers/stock_clients.sh"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    # each answer sounds, and long enough to be interrupted: no segment ends before its limit
    speech = SamplingConfig(max_tokens=80, min_tokens_per_row=1000)
    model = only_words(toy_system(tmp_path_factory.mktemp("toy") / "llm", sampling=speech))
    with serving(model) as (place, _):
        yield place


@pytest.mark.parametrize("client", ["pipecat", "livekit"])
def test_a_stock_client_has_a_whole_dialogue(client, python, place):
    script = Path(__file__).with_name(f"{client}_dialogue.py")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "docs/integrations")}
    done = subprocess.run([python, script, place], env=env, capture_output=True, text=True, timeout=600)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"after {told[-1:]}: {done.stderr[-3000:]}"
    assert [step["step"] for step in told] == list(STEPS)
    for step in told:
        assert step["errors"] == [], step
        assert step["sound_s"] > 0.1 or step["step"] == "tools", step
    assert told[3]["stopped"], "the client drops what it has not played"
    heard = [step["heard"] for step in told if step["step"] in ("first turn", "second turn", "barge-in")]
    assert all(heard), "the user's words came"
