"""Answers begun before the decision, next to other sessions' work."""

from __future__ import annotations

import numpy as np
import pytest

from freeze_omni.engine import capacity
from freeze_omni.engine.scheduler import EARLY
from freeze_omni.engine.slot import SPEAK, WRITE
from freeze_omni.session import events as ev
from freeze_omni.session.ops import DrawToken, MakeSound
from freeze_omni.session.reducer import TurnDetection
from tests.engine.rig import Rig, speech
from tests.session.model import quiet_toy


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return quiet_toy(tmp_path_factory.mktemp("toy"))


def talk(model, which, early=True):
    """Spoken turns, ended by the gate; each chunk is worked at before the next comes."""
    rig = Rig(model)
    for number in which:
        rig.open(number, turn_detection=TurnDetection.VAD, seed=number, temperature=1.0, early=early)
    wavs = {number: speech(number, 0.4 + 0.2 * number) for number in which}
    for begin in range(0, max(map(len, wavs.values())), 2560):
        for number, wav in wavs.items():
            if begin < len(wav):
                rig.put(number, wav[begin : begin + 2560])
        rig.now_s += 0.16
        rig.run()
    assert not rig.failed
    return rig


def first_audio_s(model, early):
    """Of a session alone, each batch of which takes 5 ms."""
    rig, wav = Rig(model, gather_ms=0), speech(0, 0.6)
    rig.open(0, turn_detection=TurnDetection.VAD, early=early)
    for begin in range(0, len(wav), 2560):
        rig.now_s = max(rig.now_s, begin / 16000)
        rig.put(0, wav[begin : begin + 2560])
        while rig.scheduler.tick():
            rig.now_s += 0.005
    decided = rig.kinds(0).index("AnswerBegun")
    assert not {"PlayAudio", "TextDelta"} & set(rig.kinds(0)[:decided])
    return rig.seen["first_audio_s"][0]


def test_many_sessions_with_drafts_get_what_each_gets_alone_without(model):
    together = talk(model, range(3))
    assert sum(together.seen["drafts"]) >= 3 and max(together.seen["batch_rows"]) == 3
    for number in range(3):
        alone = talk(model, [number], early=False)
        assert not alone.seen["drafts"]
        assert together.text(number) == alone.text(number) != ""
        np.testing.assert_allclose(together.audio(number), alone.audio(number), atol=1e-4)
        assert together.kinds(number).count("AnswerBegun") == 1


def test_the_first_audio_is_there_with_the_decision(model):
    """Only the chunk that decides is heard in between."""
    assert first_audio_s(model, early=True) <= 0.01 < 0.05 < first_audio_s(model, early=False)


def until_drafting(model, **config):
    """A rig with a session that has a draft to work at, and an open one."""
    rig = Rig(model, gather_ms=0, **config)
    rig.open("drafts", turn_detection=TurnDetection.VAD)
    rig.open("asks", turn_detection=TurnDetection.MANUAL)
    rig.run()
    slot, wav = rig.scheduler.slots["drafts"], speech(1, 0.6)
    for begin in range(0, len(wav), 2560):
        rig.put("drafts", wav[begin : begin + 2560])
        while rig.scheduler.tick():
            if WRITE in slot.lanes:
                assert slot.session.answering is None and slot.session.draft is not None
                return rig, slot
    raise AssertionError("no draft")


def test_a_draft_yields_to_what_is_decided(model):
    rig, slot = until_drafting(model, max_batch=1)
    rig.put("asks", ev.TextInput("Hello"))
    draft = slot.session.draft
    assert rig.scheduler._urgency(WRITE, slot.lanes[WRITE], slot, rig.now_s)[0] == EARLY
    while "AnswerKept" not in rig.kinds("asks"):
        rig.scheduler.tick()
    assert rig.audio("asks").size and draft.begun is None, "until then nothing was done for the draft"
    rig.run()
    assert draft.begun is not None and not rig.audio("drafts").size


def test_fresh_audio_does_not_wait_for_company_by_a_draft(model):
    rig, _ = until_drafting(model)
    rig.scheduler.config = type(rig.scheduler.config)(gather_ms=30)
    rig.put("asks", np.zeros(2560, dtype=np.float32))
    for _ in range(2):
        rig.scheduler.tick()
    assert "StateDecision" in rig.kinds("asks")


def test_a_dropped_draft_leaves_no_lanes(model):
    rig, slot = until_drafting(model)
    rig.scheduler.tick()
    rig.put("drafts", ev.Clear())
    while slot.session.draft is not None:
        rig.scheduler.tick()
    assert not {WRITE, SPEAK} & set(slot.lanes)
    rig.run()
    assert "AnswerBegun" not in rig.kinds("drafts") and not rig.failed


def test_what_is_begun_in_vain_is_counted_for_admission(model, monkeypatch):
    """Where listening is the costlier."""
    cheap = (DrawToken, MakeSound)
    monkeypatch.setattr(capacity, "_time_s", lambda model, ops: 0.0 if isinstance(ops[0], cheap) else 1.0)
    with_drafts = capacity.cost(model, 2)
    monkeypatch.setattr(type(model), "early", None)
    without = capacity.cost(model, 2)
    assert with_drafts.work_per_s > without.work_per_s and with_drafts.step_s == without.step_s
