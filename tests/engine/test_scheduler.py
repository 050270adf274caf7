"""Sessions side by side: each gets what it gets alone; order, bounds and faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from freeze_omni.engine.scheduler import ENDING, LATER
from freeze_omni.engine.slot import SPEAK, WRITE, Counted, Gated, Lane, Refused
from freeze_omni.session import events as ev
from freeze_omni.session.history import starting
from freeze_omni.session.ops import Read, drive
from freeze_omni.session.reducer import TurnDetection
from tests.engine.rig import Rig, speech
from tests.toy import toy_system

TEXTS = ["Hello", "What is the capital of France?", "The cow", "Anna likes tea, please!", "user"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


def talk(model, which, **config):
    """Every session of `which` says a text, speaks, and says another text while it is answered."""
    rig = Rig(model, **config)
    for number in which:
        rig.open(number, turn_detection=TurnDetection.VAD, seed=number)
        rig.put(number, ev.TextInput(TEXTS[number]))
    for _ in range(30 + 7 * len(which)):
        rig.scheduler.tick()
    for number in which:
        rig.put(number, speech(number, 0.4 + 0.2 * number))
    rig.run()
    rig.now_s += 60
    for number in which:
        rig.put(number, ev.TextInput(TEXTS[-1 - number]))
    rig.run()
    assert not rig.failed
    return rig


def typed(model, which):
    rig = Rig(model)
    for number in which:
        rig.open(number, seed=number)
        rig.put(number, ev.TextInput(TEXTS[number]))
    rig.run()
    rig.now_s += 60
    for number in which:
        rig.put(number, ev.TextInput(TEXTS[-1 - number]))
    rig.run()
    return rig


def heard(model, which):
    """Spoken turns, ended by the gate; the toy hears nonsense, and answers where that has words."""
    rig = Rig(model)
    for number in which:
        rig.open(number, turn_detection=TurnDetection.VAD, seed=number, early=False)
        rig.put(number, speech(number, 0.4 + 0.2 * number))
    rig.run()
    return rig


@pytest.mark.parametrize("scenario", [typed, heard])
def test_many_sessions_get_what_each_gets_alone(model, scenario):
    together = scenario(model, range(5))
    assert max(together.seen["batch_rows"]) == 5
    for number in range(5):
        alone = scenario(model, [number])
        assert max(alone.seen["batch_rows"]) == 1
        assert together.text(number) == alone.text(number)
        one, other = together.audio(number), alone.audio(number)
        assert len(one) == len(other) > 0
        np.testing.assert_allclose(one, other, atol=1e-4)
        words = [[f for f in rig.out[number] if isinstance(f, ev.TranscriptDelta)] for rig in (together, alone)]
        assert words[0] == words[1]


def test_interleaved_turns_interrupt_and_are_answered(model):
    rig = talk(model, range(3))
    for number in range(3):
        assert rig.kinds(number).count("AnswerEnded") >= 2
        assert [found.is_open for found in rig.out[number] if isinstance(found, Gated)] == [True, False]
        reasons = [f.reason for f in rig.out[number] if isinstance(f, ev.AnswerEnded)]
        assert "interrupted" in reasons


def test_listening_goes_before_speaking_and_first_audio_before_later(model):
    rig = Rig(model, gather_ms=0, ending_ms=0)
    rig.open("speaks", "asks", "listens", turn_detection=TurnDetection.MANUAL)
    rig.put("speaks", ev.TextInput(TEXTS[1]))
    while not rig.audio("speaks").size:
        rig.scheduler.tick()
    rig.now_s += 0.01
    rig.put("asks", ev.TextInput(TEXTS[0]))
    rig.put("listens", np.zeros(2560, dtype=np.float32))
    for _ in range(200):
        rig.scheduler.tick()
        if "StateDecision" in rig.kinds("listens"):
            break
    assert not rig.audio("asks").size
    before = len(rig.audio("speaks"))
    while not rig.audio("asks").size:
        rig.scheduler.tick()
    assert len(rig.audio("speaks")) - before <= 2 * 24 * 600  # what went along, and not more


def test_an_answer_that_would_fall_silent_goes_before_one_that_has_not_begun(model):
    rig = Rig(model, gather_ms=0, ending_ms=1000)
    rig.open("speaks", "asks", turn_detection=TurnDetection.MANUAL)
    rig.put("speaks", ev.TextInput(TEXTS[1]))
    while not rig.audio("speaks").size:
        rig.scheduler.tick()
    before = len(rig.audio("speaks"))
    rig.put("asks", ev.TextInput(TEXTS[0]))
    while len(rig.audio("speaks")) == before:
        rig.scheduler.tick()
    assert not rig.audio("asks").size


def test_text_is_written_early_where_none_is_left_to_be_spoken(model):
    rig = Rig(model, gather_ms=0)
    rig.open("speaks", turn_detection=TurnDetection.MANUAL)
    rig.put("speaks", ev.TextInput(TEXTS[1]))
    while not rig.audio("speaks").size:
        rig.scheduler.tick()
    slot, lane = rig.scheduler.slots["speaks"], Lane(None, None)
    ends_s = slot.playback.ends_s
    for spoken, now_s, urgency in ((True, ends_s, LATER), (False, ends_s - 0.9, ENDING), (False, ends_s - 1.1, LATER)):
        slot.lanes = {WRITE: lane} | ({SPEAK: lane} if spoken else {})
        assert rig.scheduler._urgency(WRITE, lane, slot, now_s)[0] == urgency
    slot.lanes = {}


def test_fresh_audio_waits_for_company_only_while_there_is_other_work(model):
    rig = Rig(model, gather_ms=30)
    rig.open("one", "two", "busy", turn_detection=TurnDetection.MANUAL)
    rig.put("busy", ev.TextInput(TEXTS[1]))
    for _ in range(12):
        rig.scheduler.tick()
    rig.put("one", np.zeros(2560, dtype=np.float32))
    for _ in range(3):
        rig.scheduler.tick()
    assert "StateDecision" not in rig.kinds("one")
    rig.now_s += 0.05
    rig.put("two", np.zeros(2560, dtype=np.float32))
    rig.now_s += 0.05
    for _ in range(8):
        rig.scheduler.tick()
    assert "StateDecision" in rig.kinds("one") and "StateDecision" in rig.kinds("two")


def test_who_sends_too_fast_is_ended_and_nobody_else(model):
    rig = Rig(model, max_waiting_chunks=4)
    rig.open("fast", "calm")
    rig.put("fast", np.zeros(5 * 2560, dtype=np.float32))
    rig.put("calm", ev.TextInput("Hello"))
    rig.run()
    assert "send less at once" in rig.failed["fast"] and "calm" not in rig.failed
    assert rig.audio("calm").size and "fast" not in rig.scheduler.slots
    rig.put("fast", np.zeros(10, dtype=np.float32))  # dropped


def test_a_flood_does_not_make_the_server_late_for_others(model):
    """What admission goes by is how late paced audio is heard, not how long a heap of audio waits."""
    rig = Rig(model)
    rig.open("flood", "paced", turn_detection=TurnDetection.MANUAL)
    rig.run()
    rig.put("flood", speech(0, 3.0))
    for _ in range(2000):
        rig.now_s += 0.01
        if not rig.scheduler.tick():
            break
    steps = np.asarray(rig.seen["listen_s"])
    assert len(steps) > 25 and np.quantile(steps, 0.9) < 0.16 < rig.now_s
    rig.put("paced", speech(0, 0.1)[:2560])
    rig.now_s += 0.3
    rig.run()
    assert rig.seen["listen_s"][-1] == pytest.approx(0.3)


def test_chunks_that_the_gate_keeps_from_the_model_are_no_steps(model):
    rig = Rig(model)
    rig.open("gated", turn_detection=TurnDetection.VAD)
    rig.put("gated", np.zeros(5 * 2560, dtype=np.float32))
    rig.run()
    assert not rig.seen["listen_s"] and len(rig.seen["heard_s"]) == 5
    rig.put("gated", speech(0, 0.64))
    rig.run()
    assert 4 <= len(rig.seen["listen_s"]) < len(rig.seen["heard_s"])


def test_a_fault_in_a_batch_ends_no_session_but_its_own(model):
    rig = Rig(model)
    rig.open("good", "bad", seed=1)
    for key in ("good", "bad"):
        rig.put(key, ev.TextInput("Hello"))
    lanes = {}
    while len(lanes) < 2 or not all(isinstance(lane.op, Read) and lane.made for lane in lanes.values()):
        rig.scheduler.tick()
        lanes = {key: slot.lanes["write"] for key, slot in rig.scheduler.slots.items() if "write" in slot.lanes}
    lanes["bad"].op = Read(torch.zeros(1, 7), lanes["bad"].op.cache)
    rig.run()
    assert list(rig.failed) == ["bad"]
    alone = Rig(model)
    alone.open("good", seed=1)
    alone.put("good", ev.TextInput("Hello"))
    alone.run()
    assert rig.text("good") == alone.text("good")
    np.testing.assert_allclose(rig.audio("good"), alone.audio("good"), atol=1e-4)


@pytest.mark.parametrize("samples", [np.array([np.nan], dtype=np.float32), np.zeros((2, 3), dtype=np.float32)])
def test_bad_audio_ends_the_session(model, samples):
    rig = Rig(model)
    rig.open(1)
    rig.put(1, samples)
    assert "finite samples" in rig.failed[1]


def test_a_text_that_is_too_long_is_refused_and_the_session_goes_on(model):
    rig = Rig(model)
    rig.open(1)
    rig.put(1, ev.TextInput("moo " * 3000))
    rig.put(1, ev.TextInput("moo"))
    rig.run()
    assert any(isinstance(f, Refused) and "does not fit" in f.reason for f in rig.out[1])
    assert rig.text(1)


def test_playback_by_the_clock_decides_what_was_heard(model):
    rig = Rig(model)
    rig.open(1)
    rig.put(1, ev.TextInput(TEXTS[1]))
    rig.run()
    total = len(rig.audio(1)) / 24000
    rig.now_s += total / 2
    rig.run()
    assert "AnswerEnded" not in rig.kinds(1)
    rig.put(1, ev.Interrupt())
    rig.run()
    assert rig.out[1][-1] == ev.AnswerEnded("interrupted")
    kept = rig.scheduler.slots[1].session.kept_text
    assert 0 < len(kept) < len(rig.text(1))
    rig.put(1, ev.TextInput(TEXTS[1]))
    rig.run()
    rig.now_s += 100
    rig.run()
    assert rig.out[1][-1].reason in ("done", "length")
    assert not rig.scheduler.slots[1].busy


def test_other_choices_from_now_on(model):
    rig = Rig(model)
    rig.open(1)
    rig.put(1, replace(rig.scheduler.slots[1].config, speech=False, system="Be brief.", max_new_tokens=3))
    rig.put(1, ev.TextInput("Hello"))
    rig.run()
    assert rig.scheduler.slots[1].session.history.system == "Be brief."
    assert rig.text(1) and not rig.audio(1).size


def test_sessions_that_come_and_go_leave_nothing(model):
    import gc

    def tensors():
        gc.collect()
        return sum(isinstance(item, torch.Tensor) for item in gc.get_objects())

    rig = Rig(model)
    before = None
    for number in range(12):
        rig.open(number)
        rig.put(number, ev.TextInput("Hello"))
        rig.run()
        rig.scheduler.close(number)
        rig.out.clear()
        if number == 3:
            before = tensors()
    assert tensors() <= before + 2
    assert not rig.scheduler.slots


def test_history_as_text_is_what_each_session_gets_alone(model, monkeypatch):
    """Spoken turns, a typed one after them, and speech over the answers; the cache holds what the history says."""
    monkeypatch.setattr(model, "config", replace(model.config, history="text"))

    def scenario(which):
        rig = Rig(model)
        for number in which:
            rig.open(number, turn_detection=TurnDetection.VAD, seed=number)
            for part in range(2):
                rig.put(number, speech(number + part, 0.4 + 0.2 * number))
        rig.run()
        rig.now_s += 60
        for number in which:
            rig.put(number, ev.TextInput(TEXTS[number]))
        rig.run()
        assert not rig.failed
        return rig

    together = scenario(range(3))
    for number in range(3):
        assert together.text(number) == scenario([number]).text(number)
        history = together.scheduler.slots[number].session.history
        again = drive(model, starting(model, history.system, history.turns))
        assert again.cache.length == history.cache.length
        probe = torch.randn(1, 1, model.llm.hidden_size)
        one, other = (model.llm(probe, cache=found.cache.fork())[0] for found in (again, history))
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_waits_and_tokens_of_an_answer_are_measured(model):
    rig = Rig(model)
    rig.open("one")
    rig.put("one", ev.TextInput("Hello"))
    for _ in range(5000):
        rig.scheduler.tick()
        rig.now_s += 0.01
        if rig.seen["answers"]:
            break
    (counted,) = [found for found in rig.out["one"] if isinstance(found, Counted)]
    assert rig.seen["answers"] == [1]
    assert rig.seen["llm_tokens"] == [counted.wrote] and rig.seen["speech_tokens"] == [counted.spoke]
    waits = rig.seen["queue_write_s"]
    assert len(rig.seen["llm_token_s"]) == len(waits) >= counted.wrote - 1 > 0
    assert max(waits) >= 0.01 and not any(rig.seen["llm_token_s"]), "the model itself takes no time here"
