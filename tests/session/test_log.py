"""A recorded session replays to the same output; what is no log is refused with file and line."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from freeze_omni.session import events as ev
from freeze_omni.session.log import LogError, Recorder, check_folder, from_json, read_log, replay, same, to_json
from freeze_omni.session.session import SessionConfig, SpeechSession
from tests.session.model import toy_model
from tests.session.test_session import ANSWERS, noise


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("toy"))


def fresh(model, seed=3):
    model.state_head.script, model.state_head.asked = {1: 1, 3: 1}, 0
    return SpeechSession(model, SessionConfig(answers=ANSWERS, seed=seed))


def record(model):
    """Two spoken turns, the second of which interrupts the answer to the first, and a typed one."""
    file, session = io.StringIO(), fresh(model)
    recorder = Recorder(file, session.config)

    def handle(event):
        recorder.handled(event, session.handle(event))

    for chunk in session.chunks(noise(2)):
        handle(chunk)
    for lane in ("write", "write", "write", "write", "write", "speak"):
        recorder.worked(lane, session.work(lane))
    handle(ev.Played(300))
    for chunk in session.chunks(noise(2, seed=1)):
        handle(chunk)
    while session.answering is not None:
        lane = "speak" if session.answering.may("speak") else "write"
        recorder.worked(lane, session.work(lane))
    config = replace(session.config, max_new_tokens=5, system="Be brief.")
    recorder.configured(config, session.configure(config))
    handle(ev.TextInput("And why?"))
    while session.answering is not None:
        lane = "speak" if session.answering.may("speak") else "write"
        recorder.worked(lane, session.work(lane))
    return file.getvalue()


def test_a_recorded_session_replays_to_the_same_output(model, tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text(record(model), encoding="utf-8")
    config, pieces = read_log(path)
    assert config == SessionConfig(answers=ANSWERS, seed=3)
    session = fresh(model, config.seed)
    pairs = list(replay(pieces, session))
    assert session.history.system == "Be brief."
    assert all(same(before, now) for before, now in pairs)
    kinds = {type(action).__name__ for _, now in pairs for action in now}
    assert {"PlayAudio", "TextDelta", "StateDecision", "StopAudio", "AnswerEnded"} <= kinds


def test_a_changed_log_does_not_replay(model, tmp_path):
    lines = record(model).splitlines()
    changed = [line for line in lines if '"Played"' not in line]
    first = json.loads(changed[1])
    first["event"] = to_json(ev.AudioChunk(np.ones(2560, dtype=np.float32)))
    changed[1] = json.dumps(first)
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(changed), encoding="utf-8")
    config, pieces = read_log(path)
    assert not all(same(before, now) for before, now in replay(pieces, fresh(model, config.seed)))


def test_a_log_without_its_changes_of_settings_does_not_replay(model, tmp_path):
    lines = [line for line in record(model).splitlines() if '"do": "configure"' not in line]
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert not all(same(before, now) for before, now in replay(read_log(path)[1], fresh(model)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: not JSON"),
        ('{"format": "x"}\n', "line 1: not a session log"),
        ("[1]\n", "line 1: not a JSON object"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, text, problem):
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LogError, match=problem):
        read_log(path)


def test_events_come_back_and_unknown_ones_are_refused():
    chunk = from_json(json.loads(json.dumps(to_json(ev.AudioChunk(np.arange(3, dtype=np.float32))))))
    assert chunk.samples.tolist() == [0, 1, 2]
    with pytest.raises(LogError, match="'Nonsense' is not an event"):
        from_json({"type": "Nonsense"})
    with pytest.raises(LogError, match="TextInput"):
        from_json({"type": "TextInput", "words": 3})


def test_a_folder_where_nothing_can_be_written_is_told_at_once(tmp_path):
    check_folder(tmp_path / "new" / "records")
    assert (tmp_path / "new" / "records").stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="records"):
        check_folder(tmp_path / "file" / "records")
