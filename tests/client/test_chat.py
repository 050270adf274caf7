"""`freeze-omni chat` against a running server."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from freeze_omni.bin import chat
from freeze_omni.client.chat import Voices
from tests.server.rig import loud, quiet, serving
from tests.toy import toy_system

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    model = toy_system(tmp_path_factory.mktemp("toy") / "llm")
    with serving(model) as (place, _):
        yield f"ws://{place}"


def test_typed_turns(place, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nAnd then?\n"))
    chat.main(["--url", place, "--text", "--wait_s", "3", "--system", "Be brief."])
    lines = capsys.readouterr().out.splitlines()
    assert sum(" answer " in line for line in lines) == 2 and sum(" speaks" in line for line in lines) == 2


def test_a_sound_file_is_heard_at_the_pace_of_speech(place, tmp_path, capsys):
    path, both = tmp_path / "question.wav", tmp_path / "both.wav"
    soundfile.write(path, np.concatenate([quiet(0.4), loud(0.6), quiet(0.2)]), 24000)
    arguments = ["--url", place, "--input", str(path), "--output", str(both)]
    chat.main([*arguments, "--pause_s", "1", "--wait_s", "0.1", "--states"])
    shown = capsys.readouterr().out
    assert f"plays   {path}" in shown and " state " in shown
    wav, hz = soundfile.read(both)
    assert hz == 24000 and wav.shape[1] == 2 and np.abs(wav[:, 0]).max() > 0.5


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--url", "ws://127.0.0.1:9", "--text"], "no server answers there"),
        (["--url", "ws://127.0.0.1:9", "--input", "no.wav"], "no.wav"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, problem):
    with pytest.raises(SystemExit, match=problem):
        chat.main(arguments)


def test_voices_on_one_time_line():
    now = [0.0]
    voices = Voices(lambda: now[0])
    voices.play(np.ones(24000, dtype=np.float32))
    voices.play(np.ones(24000, dtype=np.float32))
    now[0] = 1.5
    assert voices.heard_ms(0) == 1500 and voices.heard_ms(1) == 500
    voices.pause()
    voices.play(np.ones(24000, dtype=np.float32))
    now[0] = 3.0
    assert voices.ends_s == 1.5 and voices.heard_ms(0) == 1500
    voices.resume()
    assert voices.ends_s == 4.5 and voices.track()[72000:108000].all() and not voices.track()[36000:72000].any()
    now[0] = 3.5
    voices.stop()
    assert voices.ends_s == 3.5 and voices.track().sum() == 48000
