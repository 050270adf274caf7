"""One session's long texts, floods and faults, and what the others get meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freeze_omni.engine import scheduler as engine
from freeze_omni.engine.slot import Configured, Counted, Refused, Reply
from freeze_omni.session import events as ev
from freeze_omni.session.history import READ_POSITIONS
from freeze_omni.session.ops import Read
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig
from tests.engine.rig import Rig
from tests.toy import toy_system

LONG = "moo " * 400
CHUNK = np.zeros(2560, dtype=np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


class Watched(Rig):
    """Remembers the operations of each batch; every batch takes `step_s`, and `position_s` for what the LLM reads."""

    def __init__(self, model, monkeypatch, step_s=0.02, position_s=0.0, **config):
        super().__init__(model, gather_ms=0, **config)
        self.batches = []
        real = engine.execute

        def execute(model, ops):
            self.batches.append(ops)
            self.now_s += step_s + position_s * self.positions(ops)
            return real(model, ops)

        monkeypatch.setattr(engine, "execute", execute)

    def until(self, key, kind, most=500):
        """Batches until a session has put out something of a kind."""
        before = self.kinds(key).count(kind)
        for number in range(most):
            if self.kinds(key).count(kind) > before:
                return number
            assert self.scheduler.tick(), f"no {kind}"
        raise AssertionError(f"no {kind} in {most} batches")

    def positions(self, ops):
        return sum(len(op.embeds) for op in ops if isinstance(op, Read))


def asks(model, rig, key, event):
    """Open a session and let it ask for something long; it has begun."""
    rig.open(key, turn_detection=TurnDetection.MANUAL)
    rig.run()
    rig.put(key, event)
    rig.scheduler.tick()
    assert "Configured" not in rig.kinds(key)


LONG_WORK = {
    "system prompt": SessionConfig(system=LONG, turn_detection=TurnDetection.MANUAL),
    "text": ev.TextInput(LONG),
    "earlier dialogue": ev.Remember(LONG, "Yes."),
    "response's instructions": Reply(SessionConfig(system=LONG), ev.TextInput("Hello")),
}


@pytest.mark.parametrize("event", LONG_WORK.values(), ids=LONG_WORK)
def test_a_long_text_lets_others_be_heard_and_answered(model, monkeypatch, event):
    rig = Watched(model, monkeypatch)
    rig.open("hears", "asks", turn_detection=TurnDetection.MANUAL)
    rig.run()
    asks(model, rig, "greedy", event)
    assert len(LONG.split()) > 10 * READ_POSITIONS
    for _ in range(3):
        rig.put("hears", CHUNK)
        assert rig.until("hears", "StateDecision") <= 3, "two operations, and the piece under way"
        assert rig.positions(rig.batches[-1]) < READ_POSITIONS, "no one listens by a long batch"
    rig.put("asks", ev.TextInput("Hello"))
    before_s = rig.now_s
    rig.until("asks", "PlayAudio")
    assert rig.now_s - before_s < 1.5 and "AnswerBegun" not in rig.kinds("greedy")
    rig.run()
    assert not rig.failed and not any(isinstance(found, Refused) for found in rig.out["greedy"])


def test_many_long_texts_make_no_long_batch(model, monkeypatch):
    rig = Watched(model, monkeypatch, max_sessions=16)
    keys = range(8)
    rig.open(*keys, turn_detection=TurnDetection.MANUAL)
    rig.run()
    for key in keys:
        rig.put(key, ev.TextInput(LONG))
    rig.run()
    assert max(map(rig.positions, rig.batches)) <= engine.READ_AT_ONCE
    assert all(rig.text(key) for key in keys)


def test_a_slow_llm_reads_fewer_texts_at_once(model, monkeypatch):
    """Of short texts one fits into the time that a batch may take; a fast LLM reads most of them together."""
    most = {}
    for position_s in (0.0, 0.01):
        with monkeypatch.context() as patch:
            rig = Watched(model, patch, step_s=0.0, position_s=position_s, max_sessions=16)
            rig.open(*range(9), turn_detection=TurnDetection.MANUAL)
            rig.run()
            rig.batches.clear()
            for key in range(9):
                rig.put(key, ev.Remember("moo " * 4, "Yes."))
            rig.run()
            most[position_s] = max(map(rig.positions, rig.batches))
            longest = max(len(op.embeds) for ops in rig.batches for op in ops if isinstance(op, Read))
    assert most[0.01] == longest < most[0.0] <= engine.READ_AT_ONCE


def test_a_history_that_is_read_again_lets_others_be_heard(model, monkeypatch):
    """A turn that opens when the context is full makes room first, which reads all that stays."""
    rig = Watched(model, monkeypatch)
    rig.open("hears", "full", turn_detection=TurnDetection.MANUAL, max_new_tokens=10)
    rig.run()
    for _ in range(8):
        rig.put("full", ev.Remember("moo " * 60, "Yes."))
    rig.run()
    length = rig.scheduler.slots["full"].session.history.cache.length
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", length + 50)
    rig.put("full", CHUNK)
    for _ in range(10):
        rig.scheduler.tick()
    assert "StateDecision" not in rig.kinds("full"), "it makes room"
    rig.put("hears", CHUNK)
    assert rig.until("hears", "StateDecision") <= 3
    rig.run()
    assert "StateDecision" in rig.kinds("full")


def test_a_whole_file_at_once_lets_others_be_answered(model, monkeypatch):
    rig = Watched(model, monkeypatch)
    rig.open("file", "asks", turn_detection=TurnDetection.MANUAL, max_turn_chunks=10**6)
    rig.run()
    rig.put("file", np.zeros(300 * 2560, dtype=np.float32))
    rig.scheduler.tick()
    rig.put("asks", ev.TextInput("Hello"))
    before_s = rig.now_s
    rig.until("asks", "PlayAudio")
    assert rig.now_s - before_s < 1.5 and rig.kinds("file").count("StateDecision") < 100
    rig.run()
    assert rig.kinds("file").count("StateDecision") == 300 and not rig.failed


def test_audio_that_is_cleared_before_it_was_heard_is_not_heard(model):
    rig = Rig(model)
    rig.open("a", turn_detection=TurnDetection.MANUAL)
    rig.run()
    rig.put("a", np.zeros(20 * 2560, dtype=np.float32))
    rig.put("a", ev.Clear())
    rig.put("a", CHUNK)
    rig.run()
    assert rig.kinds("a").count("StateDecision") == 1 and rig.scheduler.slots["a"].waiting_chunks == 0


def test_more_events_than_may_wait_end_their_session_alone(model):
    rig = Rig(model, max_waiting_events=5)
    rig.open("flood", "calm")
    for _ in range(7):
        rig.put("flood", ev.TextInput("Hello"))
    rig.put("calm", ev.TextInput("Hello"))
    rig.run()
    assert "5 events wait" in rig.failed["flood"] and rig.text("calm")


def test_a_session_that_lost_a_worker_works_alone(model, monkeypatch):
    rig = Watched(model, monkeypatch)
    told = []
    rig.scheduler._working = told.append
    rig.open("a", "b")
    rig.scheduler.open("struck", SessionConfig(), alone=True)
    for key in ("a", "b", "struck"):
        rig.put(key, ev.TextInput("Hello"))
    rig.run()
    assert set(told) >= {("struck",)} and not [keys for keys in told if "struck" in keys and len(keys) > 1]
    assert max(map(len, told)) == 2 and len(told) == len(rig.batches)


def test_a_configuration_is_confirmed_and_a_reply_by_one_that_does_not_fit_is_not_made(model):
    rig = Rig(model)
    rig.open("a")
    good, bad = SessionConfig(system="Be brief."), SessionConfig(system="moo " * 3000)
    rig.put("a", good)
    rig.put("a", Reply(bad, ev.TextInput("Hello")))
    rig.put("a", Reply(replace(good, max_new_tokens=3), ev.TextInput("Hello")))
    rig.run()
    configured = [found.config for found in rig.out["a"] if isinstance(found, Configured)]
    assert configured == [good, replace(good, max_new_tokens=3)]
    assert [found.refused for found in rig.out["a"] if isinstance(found, Refused)] == [bad]
    assert rig.kinds("a").count("AnswerBegun") == 1


def test_a_system_prompt_that_comes_after_an_answer_was_begun_does_not_stop_it(model):
    rig = Rig(model)
    rig.open("a", max_new_tokens=3)
    rig.put("a", ev.TextInput("Hello"))  # a client learns of this answer, or of one by voice, only later
    rig.put("a", SessionConfig(system="Be brief.", max_new_tokens=3))
    rig.run()
    assert [found.reason for found in rig.out["a"] if isinstance(found, ev.AnswerKept)] != ["interrupted"]
    assert rig.kinds("a").index("Configured") < rig.kinds("a").index("AnswerKept") and rig.text("a")


def test_an_answer_is_counted(model):
    rig = Rig(model)
    rig.open("a", max_new_tokens=7)
    rig.put("a", ev.TextInput("Hello"))
    rig.run()
    (found,) = [found for found in rig.out["a"] if isinstance(found, Counted)]
    order = model.llm.order
    assert found.wrote <= 7 and found.spoke > 0
    assert found.read == len(order.before_turn(model.system_prompt) + order.text("Hello") + order.suffix())
    assert 0 < found.cached < found.read
