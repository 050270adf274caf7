"""Each measure on sound made by hand, where the right answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import TableError
from freeze_omni.eval.duplex.measures import distance, measure
from freeze_omni.eval.duplex.scene import Echo, Output, Said, ScriptedScene, read_output, write_json
from freeze_omni.eval.duplex.subject import (
    backchannel_line,
    difference_rows,
    scene_rows,
    score_outputs,
    summarise_outcomes,
    takeover_differences,
)
from freeze_omni.eval.outputs import speech_segments
from tests.eval.duplex.rig import spoken

TURN = Said("turn", 0.5, 2.5, "respond", "what is it", ((1.2, 1.8),))
OVER = Said("backchannel", 5.0, 5.5, "go_on")
WAIT = Said("wait", 5.0, 6.0, "wait")
CUT = Said("interruption", 5.0, 6.5, "stop")
SCENES = {
    "turn": ScriptedScene("turn-0", "turn", 8.0, (TURN,)),
    "pause": ScriptedScene("pause-0", "pause", 8.0, (TURN,)),
    "backchannel": ScriptedScene("backchannel-0", "backchannel", 12.0, (TURN, OVER), 0.5),
    "interruption": ScriptedScene("interruption-0", "interruption", 12.0, (TURN, CUT), 0.5),
    "wait": ScriptedScene("wait-0", "wait", 12.0, (TURN, WAIT), 0.5),
    "echo": ScriptedScene("echo-0", "echo", 8.0, (TURN,), echo=Echo(0.1, -20.0)),
}


def outcome(kind, *speech, **heard):
    return measure(SCENES[kind], Output(SCENES[kind].seconds, list(speech), **heard))


def words(*times):
    return [("word", at, at + 0.2) for at in times]


@pytest.mark.parametrize(
    ("speech", "said", "takeover"),
    [
        ([], None, False),
        ([(1.3, 1.9)], None, False),  # a backchannel of 0.6 s
        ([(1.3, 2.4)], None, True),
        ([(1.3, 1.9)], words(1.3, 1.4, 1.5, 1.6), True),  # short, but four words
        ([(1.3, 2.4)], [], False),  # no word in it
        ([(2.2, 4.0)], None, False),  # from 0.3 s before the end on
        ([(2.6, 4.0)], None, False),
    ],
)
def test_taking_over_in_a_pause(speech, said, takeover):
    assert outcome("pause", *speech, words=said).takeover is takeover


@pytest.mark.parametrize(
    ("speech", "responded", "response_s"),
    [([(3.25, 5.0)], True, 0.75), ([(2.2, 4.0)], True, 0.0), ([(3.0, 3.4)], False, None), ([(0.6, 2.0)], False, None)],
)
def test_taking_a_turn(speech, responded, response_s):
    found = outcome("turn", *speech)
    assert (found.responded, found.takeover, found.response_s) == (responded, responded, response_s)


@pytest.mark.parametrize(
    ("kind", "speech", "ends", "behaviour", "stop_s", "takeover"),
    [
        ("interruption", [(3.5, 6.0), (7.0, 9.0)], [], "respond", 1.0, True),
        ("interruption", [(3.5, 6.0)], [], "silent", 1.0, False),
        ("interruption", [(3.5, 11.0)], [], "resume", None, False),
        ("interruption", [(3.5, 6.0)], [(6.6, True)], "resume", None, False),  # it had no more to say
        ("interruption", [(3.5, 6.0)], [(6.1, False), (8.0, True)], "silent", 1.0, False),
        ("backchannel", [(3.5, 5.75)], [], "silent", 0.75, False),
        ("backchannel", [(3.5, 7.5)], [], "resume", None, False),
        ("backchannel", [(3.5, 5.75), (6.5, 8.0)], [], "respond", 0.75, True),
        ("backchannel", [(5.75, 8.0)], [], None, None, True),  # it was silent, and answers
        ("backchannel", [(3.5, 4.5)], [], None, None, False),
        ("wait", [(3.5, 6.25)], [], "silent", 1.25, False),
        ("wait", [(3.5, 6.25), (8.0, 9.5)], [], "respond", 1.25, True),
    ],
)
def test_a_sound_over_the_answer(kind, speech, ends, behaviour, stop_s, takeover):
    found = outcome(kind, *speech, ends=ends)
    assert (found.behaviour, found.stop_s, found.takeover) == (behaviour, stop_s, takeover)
    assert found.overlapped is (behaviour is not None)


def test_latencies_of_an_interruption():
    found = outcome("interruption", (3.5, 7.25), (8.0, 9.5))
    assert (found.stop_s, found.overlap_s, found.response_s) == (2.25, 1.5, 1.5), "1.5 counts up to the user's end"


@pytest.mark.parametrize(
    ("speech", "takeover", "behaviour"),
    [([(3.0, 5.0)], False, "resume"), ([(3.0, 4.0), (5.0, 7.0)], True, "respond"), ([], False, None)],
)
def test_echo_of_its_own_voice(speech, takeover, behaviour):
    found = outcome("echo", *speech)
    assert (found.takeover, found.behaviour, found.stop_s) == (takeover, behaviour, None)


def test_segments_of_a_sound():
    wav = spoken(6.0, (1.0, 1.5), (1.8, 2.0), (3.0, 3.02), (4.0, 5.0))
    assert speech_segments(wav, 16000) == [(1.0, 2.0), (4.0, 5.0)]
    assert speech_segments(wav, 16000, merge_s=0.1)[:2] == [(1.0, 1.5), (1.8, 2.0)]
    assert len(speech_segments(wav, 16000, breaks_s=[1.8])) == 3, "a new answer begins there"
    assert speech_segments(np.zeros(16000, np.float32), 16000) == speech_segments(wav[:10], 16000) == []


def test_backchannels_by_number_and_time():
    short = outcome("turn", (1.3, 1.7), (3.0, 5.0))
    assert (short.backchannels, short.user_s, short.jsd) == (1, 2.0, None)
    (line,) = backchannel_line(summarise_outcomes([short, outcome("pause")]))
    assert line == "backchannels of the system: 0.250 a second of the user's turns"
    where = [0.0] * 41
    where[6:9] = [1 / 3] * 3  # the windows of 0.2 s that 1.3 to 1.7 s touch
    assert distance([(1.3, 1.7)], where, 8.0) == pytest.approx(0, abs=0.01)
    far = [0.0] * 38 + [1 / 3] * 3
    assert distance([(1.3, 1.7)], far, 8.0) == pytest.approx(np.sqrt(np.log(2)), abs=0.01)
    assert distance([], where, 8.0) == 1.0


def write(folder, scene, *spans, told=None):
    write_wav(folder / scene.id / "output.wav", spoken(scene.seconds, *spans), 16000)
    if told is not None:
        write_json(folder / scene.id / "output.json", told)


def test_outputs_of_another_system_are_sound_alone(tmp_path):
    write(tmp_path, SCENES["turn"], (3.0, 5.0))
    write(tmp_path, SCENES["interruption"], (3.0, 5.4), (7.0, 9.0))
    figures = score_outputs(tmp_path, list(SCENES.values()))
    assert figures["missing"] == ["backchannel-0", "echo-0", "pause-0", "wait-0"]
    turn, cut = figures["kinds"]["turn"], figures["kinds"]["interruption"]
    assert turn["takeover"]["share"] == 1.0 and turn["response_s"]["average"] == pytest.approx(0.5, abs=0.02)
    assert cut["stop_s"]["average"] == pytest.approx(0.4, abs=0.02) and cut["respond"]["count"] == 1
    assert [row[0] for row in scene_rows(figures)] == ["turn", "interruption"] and scene_rows(figures)[1][4] == "1 of 1"
    with pytest.raises(TableError, match="no <id>/output.wav in it for any scene, as turn-0/output.wav"):
        score_outputs(tmp_path / "none", list(SCENES.values()))


def test_takeovers_are_compared_scene_by_scene():
    """The interval of a difference is that of pairs; one within it is called none."""
    own = [outcome("pause", (1.5, 2.0)) for _ in range(20)]
    own = [dataclasses.replace(one, id=f"pause-{n}", takeover=False) for n, one in enumerate(own)]
    always = [dataclasses.replace(one, takeover=True) for one in own]
    seldom = [dataclasses.replace(one, takeover=n == 3) for n, one in enumerate(own)]
    less = takeover_differences(own, [*always, outcome("turn")])
    assert less == {"pause": {"mean": -1.0, "low": -1.0, "high": -1.0, "count": 20}}
    figures = {"baselines": {"vad": {"takeover_less": less}}}
    assert difference_rows(figures) == [["by VAD", "pause", "low", "-100.0 (-100.0 to -100.0)"]]
    figures = {"baselines": {"vad": {"takeover_less": takeover_differences(own, seldom)}}}
    assert difference_rows(figures)[0][-1].startswith("none: -5.0 (")


def test_the_slowest_stop_has_an_interval():
    ones = [outcome("interruption", (3.5, 5.0 + share / 20), (7.0, 9.0)) for share in range(20)]
    found = summarise_outcomes(ones)
    stop = found["kinds"]["interruption"]["stop_s"]
    assert stop["p90_low"] < stop["p90"] <= stop["p90_high"]
    assert f"({stop['p90_low']:.2f}-{stop['p90_high']:.2f})" in scene_rows(found)[0][6]


def test_a_known_new_answer_and_a_known_end_are_used(tmp_path):
    """Sound alone would take both answers for one."""
    scene = SCENES["interruption"]
    events = [{"time_s": 5.5, "event": "stops"}, {"time_s": 5.7, "event": "speaks"}]
    events.append({"time_s": 9.0, "event": "ended", "reason": "done"})
    spans = ((3.0, 5.5), (5.7, 7.0), (8.0, 9.0))
    write(tmp_path, scene, *spans, told={"events": events})
    found = measure(*read_output(tmp_path / scene.id, scene))
    assert found.behaviour == "respond" and found.stop_s == pytest.approx(0.5, abs=0.02)
    _, heard = read_output(tmp_path / scene.id, scene)
    assert heard.ends == [(5.5, False), (9.0, True)]
    assert heard.speech == [(3.0, 5.5), (5.7, 9.0)], "sound that came late is no new answer"
    figures = summarise_outcomes([found, outcome("interruption", (3.5, 6.0), ends=[(6.0, True)])])
    assert figures["kinds"]["interruption"]["stopped"]["count"] == 1, "an answer that was over was not to be stopped"


@pytest.mark.parametrize("told", ['{"events": [{"event": "stops"}]}', "{", '{"chunks": [{"text": "a"}]}', "[]"])
def test_a_wrong_output_json_is_named(told, tmp_path):
    write(tmp_path, SCENES["turn"])
    path = tmp_path / "turn-0/output.json"
    path.write_text(told)
    with pytest.raises(TableError, match="output.json: not .* write it again"):
        read_output(path.parent, SCENES["turn"])
