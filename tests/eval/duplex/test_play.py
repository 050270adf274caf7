"""Scenes played to a session whose behaviour is known: sounds wait for its voice, and every measure is right."""

from __future__ import annotations

import json

import numpy as np
import pytest

from freeze_omni.data.audio import read_audio
from freeze_omni.eval.duplex.measures import measure
from freeze_omni.eval.duplex.play import Hearing, resampled
from freeze_omni.eval.duplex.scene import read_output, read_scenes
from freeze_omni.eval.duplex.subject import score_outputs
from tests.eval.duplex.rig import RATES, Scripted, play_offline, voice

KINDS = ("turn", "pause", "interruption", "backchannel", "echo")


@pytest.fixture
def play(scenes, tmp_path):
    """Play all scenes to sessions of one behaviour: outcomes by kind."""

    def run(**behaviour):
        found = {}
        for scene in (one for one in read_scenes(scenes) if one.kind in KINDS):
            folder = tmp_path / "outputs" / scene.id
            play_offline(Scripted(**behaviour), Hearing.of(scenes, scene, RATES.input_hz), folder)
            found[scene.kind] = measure(*read_output(folder, scene))
        return found

    return run


def test_one_that_never_answers(play):
    found = play(deaf=True)
    assert not any(one.takeover for one in found.values())
    assert found["turn"].response_s is None and found["turn"].responded is False
    assert found["interruption"].overlapped is False and found["interruption"].behaviour is None


def test_one_that_yields_and_answers_again(play):
    found = play(patience_s=1.4)
    assert found["turn"].takeover and found["turn"].response_s == pytest.approx(1.5, abs=0.15)
    assert found["pause"].takeover is False and found["pause"].responded is True
    cut = found["interruption"]
    assert cut.overlapped and cut.behaviour == "respond" and cut.takeover
    assert cut.stop_s == pytest.approx(0.16, abs=0.16) and cut.overlap_s == cut.stop_s
    assert cut.response_s == pytest.approx(1.5, abs=0.15)


def test_one_without_patience_speaks_into_the_pause(play):
    found = play(patience_s=0.16, stop="never")
    assert found["pause"].takeover is True
    assert play(patience_s=0.16, stop="at_once")["pause"].takeover is False, "it gives way within a second"


def test_one_that_stops_late(play):
    assert play(long_s=6.0, stop="late")["interruption"].stop_s == pytest.approx(1.1, abs=0.16)


def test_one_that_holds_the_floor(play):
    found = play(long_s=5.0, stop="never")
    for kind in ("interruption", "backchannel"):
        assert (found[kind].overlapped, found[kind].stop_s, found[kind].behaviour) == (True, None, "resume")
        assert found[kind].takeover is False


def test_one_that_answers_its_own_echo(play):
    assert play(long_s=1.5, stop="late")["echo"].takeover is True
    # deaf to its own voice: the echo is the first thing that it does not hear


def test_the_waiting_sound_goes_by_the_systems_voice(scenes, tmp_path):
    """It comes `into_answer_s` into the answer, and as planned without one."""
    scene = next(one for one in read_scenes(scenes) if one.kind == "interruption")
    placed = {}
    for name, deaf in (("answers", False), ("silent", True)):
        line = play_offline(Scripted(deaf=deaf), Hearing.of(scenes, scene, 16000), tmp_path / name)
        after, _ = read_output(tmp_path / name, scene)
        placed[name] = after.event.start_s
        wav, hz = read_audio(str(tmp_path / name / "input.wav"))
        assert len(wav) / hz == pytest.approx(scene.seconds) and len(line.wav) / line.hz == pytest.approx(scene.seconds)
        level = np.sqrt(np.mean(wav[round(placed[name] * hz) :][: hz // 2] ** 2))
        assert level > 0.1, "the sound is where scene.json says"
        if not deaf:
            assert placed[name] == pytest.approx(line.starts_s[0] + scene.into_answer_s, abs=0.002)
    assert placed["silent"] == scene.event.start_s != placed["answers"]


def test_echo_is_the_voice_delayed_and_lowered(scenes, tmp_path):
    scene = next(one for one in read_scenes(scenes) if one.kind == "echo")
    line = play_offline(Scripted(stop="never", long_s=1.0), Hearing.of(scenes, scene, 16000), tmp_path / "out")
    wav, _ = read_audio(str(tmp_path / "out/input.wav"))
    at = round((line.starts_s[0] + scene.echo.delay_s + 0.1) * 16000)
    assert np.sqrt(np.mean(wav[at : at + 8000] ** 2)) == pytest.approx(0.3 / np.sqrt(2) * 10 ** (-12 / 20), rel=0.05)
    assert np.abs(wav[at - 3200 : at - 1700]).max() < 0.02


def test_resampled_pieces_join_without_a_seam():
    track = voice(1.0, 24000)
    read = resampled(track, 24000, 16000)
    joined = np.concatenate([read(at, at + 0.16) for at in (0.16, 0.32, 0.48)])
    assert np.abs(joined - voice(1.0, 16000)[2560 : 4 * 2560]).max() < 0.01
    assert not read(-0.2, -0.04).any() and len(read(-0.1, 0.06)) == 2560


def test_events_and_figures_of_a_folder(scenes, play, tmp_path):
    play(patience_s=1.4)
    told = json.loads((tmp_path / "outputs/interruption-0000/output.json").read_text())
    assert [event["event"] for event in told["events"]] == ["answer", "speaks", "stops", "ended", "answer", "speaks"]
    figures = score_outputs(tmp_path / "outputs", read_scenes(scenes))
    assert figures["scenes"] == 5 and figures["kinds"]["interruption"]["respond"]["share"] == 1.0


def test_one_that_pauses_is_silent_at_once_and_has_not_stopped_where_it_goes_on(play):
    found = play(stop="pauses", patience_s=1.4)
    cut = found["interruption"]
    assert cut.stop_s == pytest.approx(0.16, abs=0.16) and cut.behaviour == "respond" and cut.paused_s is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scripted, "long_ask_s", 9.0)
        aside = play(stop="pauses", patience_s=1.4)["backchannel"]
    assert aside.behaviour == "resume" and aside.stop_s is None and not aside.takeover
    assert aside.paused_s == pytest.approx(1.2, abs=0.3)
