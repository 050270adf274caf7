"""Scenes: composed from sentences, the same from the same seed, checked where they are read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from freeze_omni.bin import duplex_scenes
from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.tables import TableError
from freeze_omni.eval.duplex.compose import Composer, Pools, Sound, read_sounds
from freeze_omni.eval.duplex.scene import KINDS, OVER_ANSWER, read_scenes
from tests.eval.duplex.rig import IDS, sentences, voice


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """Two kinds once more, by the same seed, two of each."""
    root = tmp_path_factory.mktemp("again")
    words = ["--data", str(sentences(root / "data", *IDS)), "--output", str(root / "scenes"), "--seed", "3"]
    duplex_scenes.main([*words, "--count", "2", "--kinds", "side", "backchannel"])
    return root / "scenes"


def test_every_kind_is_there_and_the_seed_repeats_it(scenes, again):
    assert [scene.kind for scene in read_scenes(scenes)] == sorted(KINDS)
    one, two = ({scene.id: scene for scene in read_scenes(folder)} for folder in (scenes, again))
    assert one["side-0000"].said == two["side-0000"].said != two["side-0001"].said
    assert (scenes / "side-0000/event.wav").read_bytes() == (again / "side-0000/event.wav").read_bytes()
    assert (again / "side-0000/event.wav").read_bytes() != (again / "side-0001/event.wav").read_bytes()


def test_sound_lies_where_the_scene_says(scenes):
    for scene in read_scenes(scenes):
        wav, hz = read_audio(str(scenes / scene.id / "input.wav"))
        assert hz == 16000 and len(wav) % 2560 == 0
        if scene.kind in ("background", "noise", "side"):
            continue  # may be faint
        level = np.sqrt(np.convolve(wav**2, np.ones(320) / 320, "same"))
        loud = np.flatnonzero(level > 0.05) / hz
        assert loud[0] == pytest.approx(scene.turn.start_s, abs=0.03), scene.id
        assert loud[-1] == pytest.approx(scene.said[-1].end_s, abs=0.03), scene.id
        for start_s, end_s in scene.turn.pauses:
            assert not ((loud > start_s + 0.02) & (loud < end_s - 0.02)).any()
    pauses = {scene.kind: len(scene.turn.pauses) for scene in read_scenes(scenes)}
    assert pauses["pause"] == 1 and pauses["turn"] == 0


def test_a_waiting_sound_is_not_in_the_bed(scenes):
    for scene in read_scenes(scenes):
        assert (scene.into_answer_s is not None) == (scene.kind in OVER_ANSWER)
        if scene.into_answer_s is None:
            continue
        paths = [scenes / scene.id / f"{name}.wav" for name in ("input", "bed", "event")]
        whole, bed, event = (read_audio(str(path))[0] for path in paths)
        start, size = round(scene.event.start_s * 16000), len(event)
        assert size == pytest.approx((scene.event.end_s - scene.event.start_s) * 16000, abs=16)
        assert np.abs(whole[start : start + size] - bed[start : start + size] - event).max() < 1e-4
        expect = {"interruption": "stop", "wait": "wait"}
        assert scene.event.expect == expect.get(scene.kind, "go_on")
        assert scene.event.end_s + scene.into_answer_s + 4 < scene.seconds


def test_kinds_without_sentences_are_left_out_or_refused(tmp_path, capsys):
    data = sentences(tmp_path / "data", "q1")
    words = ["--data", str(data), "--output", str(tmp_path / "out"), "--count", "1"]
    duplex_scenes.main(words)
    assert "no side scenes: --data has no utterance side-*" in capsys.readouterr().out
    assert {scene.kind for scene in read_scenes(tmp_path / "out")} == set(KINDS) - {"backchannel", "side", "wait"}
    with pytest.raises(SystemExit, match=r"no utterance side-\* for scenes of kind 'side'; add"):
        duplex_scenes.main([*words, "--kinds", "side"])
    with pytest.raises(SystemExit, match="no user's question"):
        duplex_scenes.main(["--data", str(sentences(tmp_path / "s", "side-1")), "--output", str(tmp_path / "out")])


def change(**fields):
    return lambda scene: json.dumps(json.loads(scene) | fields)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda line: line[:-5], "no JSON object"),
        (change(kind="song"), "kind 'song' is none of turn"),
        (change(length=3), "unknown key 'length'"),
        (change(seconds=1.0), "in a scene of 1.0 s"),
        (change(seconds=99.0), "not the scene's 99.0 s; compose the scenes again"),
        (change(id="gone"), "there is no such audio file"),
        (change(id="backchannel-0000"), "the id backchannel-0000 comes twice; remove one line"),
        (change(echo={"delay_s": 0.1, "level_db": -20}), "`echo` belongs to scenes of kind 'echo'"),
    ],
)
def test_a_wrong_line_is_named_with_its_fix(wrong, message, again):
    path = again / "scenes.jsonl"
    right = path.read_text()
    lines = right.splitlines()
    assert json.loads(lines[-1])["kind"] == "side"
    try:
        path.write_text("\n".join([*lines[:-1], wrong(lines[-1])]) + "\n")
        with pytest.raises(TableError, match=message) as error:
            read_scenes(again)
        assert str(error.value).startswith(f"{path}:{len(lines)}: ")
    finally:
        path.write_text(right)
    with pytest.raises(TableError, match="compose scenes with `freeze-omni duplex-scenes`"):
        read_scenes(again / "none")


def test_of_a_dialogue_set_the_sounds_are_cut_out_where_they_are(tmp_path):
    """Its recordings have faint noise around, which level alone would not part from the speech."""
    data = sentences(tmp_path / "data", "q1", "p1", "side-1")
    rng = np.random.default_rng(0)
    for key in ("q1", "p1", "side-1"):
        wav = 0.02 * rng.standard_normal(3 * 16000).astype(np.float32)
        wav[16000:32000] += voice(1.0, 16000)
        write_wav(data / "wav" / f"{key}.wav", wav, 16000)
    kinds = {"q1": "complete", "p1": "complete", "side-1": "side"}
    lines = [
        {"id": key, "segments": [{"kind": kind, "start_s": 1.0, "end_s": 2.0}], "pauses": [key] if key == "p1" else []}
        for key, kind in kinds.items()
    ]
    (data / "scene").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sounds = read_sounds(data)
    with pytest.raises(TableError, match="scene: q1 has no segments of kind"):
        wrong = data / "scene"
        right = wrong.read_text()
        wrong.write_text(right.replace('"segments"', '"parts"'))
        read_sounds(data)
    assert [(one.kind, one.span_s) for one in sounds] == [("question", (1.0, 2.0)), ("side", (1.0, 2.0))]
    scene, _, event = Composer(Pools(sounds)).make("side", "side-0000", np.random.default_rng(0))
    assert scene.turn.end_s - scene.turn.start_s == pytest.approx(1.0) and len(event) == 16000
    assert scene.event.text == "words of side-1" and np.sqrt(np.mean(event**2)) > 0.2, "it is not put far away twice"


def test_a_user_interrupts_in_the_same_voice_and_others_talk_in_another():
    sounds = [
        Sound(kind, "", f"{kind} of {who}", None, who) for kind in ("question", "side", "backchannel") for who in "ab"
    ]
    sounds.append(Sound("question", "", "more of a", None, "a"))
    composer = Composer(Pools(sounds))
    composer._clip = lambda kind, sound, rng: (np.full(8000, 0.1, np.float32), [])
    for seed in range(8):
        said = {}
        for kind in ("interruption", "backchannel", "side"):
            scene, _, _ = composer.make(kind, kind, np.random.default_rng(seed))
            said[kind] = (scene.turn.text[-1], scene.event.text[-1])
            assert scene.turn.text != scene.event.text
        assert said["interruption"] != ("a", "b") and said["backchannel"] in (("a", "a"), ("b", "b"))
        assert said["side"] in (("a", "b"), ("b", "a"))
