"""A worker in a thread, through its pipe."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
import torch

from freeze_omni.engine import worker
from freeze_omni.engine import worker as msg
from freeze_omni.engine.capacity import capacity
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.worker import Worker, detector
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.session import events as ev
from freeze_omni.session.log import read_log
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig
from tests.toy import toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


@pytest.fixture
def pipe(model, tmp_path):
    here, there = multiprocessing.Pipe()
    thread = threading.Thread(target=Worker(model, ServingConfig(max_sessions=2), there, tmp_path).run)
    thread.start()
    yield here
    here.send(msg.Stop())
    thread.join(10)
    assert not thread.is_alive()


def until(pipe, wanted):
    """All messages up to the first that is `wanted`."""
    found = []
    while not found or not wanted(found[-1]):
        assert pipe.poll(20), f"the worker says no more after {found[-3:]}"
        found.append(pipe.recv())
    return found


def test_a_session_through_the_pipe(pipe, tmp_path):
    ready = until(pipe, lambda m: isinstance(m, msg.Ready))[-1]
    assert ready.limit == 2 and ready.rates.chunk_samples == 2560
    pipe.send(msg.Open("a", SessionConfig(turn_detection=TurnDetection.MANUAL)))  # all audio is heard
    pipe.send(msg.Put("a", np.zeros(2560, dtype=np.int16)))
    pipe.send(msg.Put("a", SessionConfig(system="Be brief.", temperature=0.5)))
    pipe.send(msg.Put("a", ev.TextInput("Hello")))
    found = until(pipe, lambda m: isinstance(m, msg.Did) and any(isinstance(o, ev.AnswerKept) for o in m.outputs))
    assert any(isinstance(o, ev.PlayAudio) for m in found if isinstance(m, msg.Did) for o in m.outputs)
    report = until(pipe, lambda m: isinstance(m, msg.Measured) and m.report.sums["spoken_s"] > 0)[-1].report
    assert report.sessions == 1 and report.durations["first_audio_s"].number == 1
    assert report.durations["listen_s"].number == 1 and report.sums["answers"] == 1
    assert report.durations["queue_write_s"].number and report.durations["queue_speak_s"].number
    pipe.send(msg.Close("a"))
    until(pipe, lambda m: isinstance(m, msg.Measured) and m.report.sessions == 0)
    config, pieces = read_log(tmp_path / "a.jsonl")
    found = {piece["do"]: piece for piece in pieces}
    assert config.turn_detection is TurnDetection.MANUAL and "speak" in found
    chosen = found["configure"]
    assert chosen["config"]["system"] == "Be brief." and chosen["config"]["temperature"] == 0.5


def test_choices_that_cannot_be_followed_end_the_session(pipe):
    pipe.send(msg.Open("a", SessionConfig(top_p=7.0)))
    failed = until(pipe, lambda m: isinstance(m, msg.Failed))[-1]
    assert failed.key == "a" and "top_p" in failed.reason


def test_more_load_serves_more_sessions(model, monkeypatch):
    few, seen = capacity(model, load=1e-9, step_s=1e9)
    assert few == 1 and 0 < seen[2].step_s < seen[2].work_per_s
    assert capacity(model, load=1e9, step_s=1e-9)[0] == 1
    assert capacity(model, load=1e9, step_s=1e9, most=4)[0] == 4
    monkeypatch.setattr(FrozenLLM, "most_dialogues", 2)
    assert capacity(model, load=1e9, step_s=1e9, most=4)[0] == 2


def test_workers_share_the_cores_unless_told_otherwise():
    found = torch.get_num_threads()
    assert worker.threads_each(0, 1) == 0 and worker.threads_each(3, 2) == 3
    assert worker.threads_each(0, 2) == max(1, found // 2) and worker.threads_each(0, 1000) == 1


def test_an_unknown_detector_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        detector(str(tmp_path / "no.safetensors"))


class Odd:
    key = "a"


def test_a_message_that_fails_ends_its_session_and_no_other(pipe):
    until(pipe, lambda m: isinstance(m, msg.Ready))
    for key in ("a", "b"):
        pipe.send(msg.Open(key, SessionConfig(turn_detection=TurnDetection.MANUAL)))
    for item in ("text", None, np.zeros((2, 2)), np.array([{}]), np.full(2560, np.nan)):
        pipe.send(msg.Open("bad", SessionConfig()))
        pipe.send(msg.Put("bad", item))
        assert until(pipe, lambda m: isinstance(m, msg.Failed))[-1].key == "bad", item
    for message in (Odd(), 7, msg.Open("a", SessionConfig())):  # no message; none at all; a key in use
        pipe.send(message)
    assert until(pipe, lambda m: isinstance(m, msg.Failed))[-1].key == "a"
    pipe.send(msg.Put("b", ev.TextInput("Hello")))
    until(pipe, lambda m: isinstance(m, msg.Did) and any(isinstance(o, ev.AnswerKept) for o in m.outputs))


def test_a_session_that_cannot_be_recorded_is_served(pipe, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(worker, "new_log", lambda folder, key: open("/dev/full", "w", encoding="utf-8"))
    until(pipe, lambda m: isinstance(m, msg.Ready))
    pipe.send(msg.Open("a", SessionConfig()))
    pipe.send(msg.Put("a", ev.TextInput("Hello")))
    until(pipe, lambda m: isinstance(m, msg.Did) and any(isinstance(o, ev.AnswerKept) for o in m.outputs))
    pipe.send(msg.Close("a"))
    until(pipe, lambda m: isinstance(m, msg.Measured) and m.report.sessions == 0)
    assert "recorded no further" in caplog.text


def test_a_recording_is_private_and_keeps_that_of_a_lost_worker(pipe, tmp_path):
    until(pipe, lambda m: isinstance(m, msg.Ready))
    for _ in range(2):  # a session keeps its key in another worker
        pipe.send(msg.Open("a", SessionConfig()))
        pipe.send(msg.Close("a"))
    until(pipe, lambda m: isinstance(m, msg.Measured) and m.report.sessions == 0)
    files = sorted(tmp_path.glob("*.jsonl"))
    assert [path.name for path in files] == ["a-2.jsonl", "a.jsonl"]
    assert all(path.stat().st_mode & 0o077 == 0 and read_log(path)[0].gated for path in files)


def test_a_worker_tells_when_it_last_worked(model):
    here, there = multiprocessing.Pipe()
    one = Worker(model, ServingConfig(max_sessions=2), there)
    assert one.ticked_s is None
    thread = threading.Thread(target=one.run)
    thread.start()
    until(here, lambda m: isinstance(m, msg.Measured))
    first_s = one.ticked_s
    until(here, lambda m: isinstance(m, msg.Measured))
    assert one.ticked_s > first_s
    here.send(msg.Stop())
    thread.join(10)


def test_a_flood_of_messages_does_not_keep_the_model_waiting(model, monkeypatch):
    here, there = multiprocessing.Pipe()
    one = Worker(model, ServingConfig(max_sessions=2), there)
    monkeypatch.setattr(one._pipe.__class__, "poll", lambda *_: True)
    monkeypatch.setattr(one._pipe.__class__, "recv", lambda *_: msg.Close("nobody"))
    assert one._take(worked=True), "it comes to an end"
