"""What a user's device plays reaches a model that reads it, in the session's time."""

from __future__ import annotations

import numpy as np
import pytest

from freeze_omni.duplex.state_head import StateHeadConfig
from freeze_omni.engine.played import PlayedLine
from freeze_omni.engine.slot import Playback
from freeze_omni.session import events as ev
from freeze_omni.session import ops
from freeze_omni.session.reducer import TurnDetection
from tests.engine.rig import Rig, speech
from tests.toy import only_words, toy_system


def test_pieces_lie_where_they_are_played() -> None:
    line = PlayedLine(24000, 16000)
    line.play(np.full(12000, 0.5, np.float32), 10.0)
    line.play(np.full(12000, 0.25, np.float32), 10.5)
    assert line.before(9.9, 1600) is None
    found = line.before(10.6, 3200)  # 10.4 s to 10.6 s
    assert found is not None and len(found) == 3200
    assert np.allclose(found[200:1400], 0.5, atol=0.02) and np.allclose(found[1800:3000], 0.25, atol=0.02)
    line.stop(10.7)
    last = line.before(10.8, 3200)
    assert last is not None and last[:1500].any() and not last[1600:].any()
    assert line.before(12.0, 3200) is None


def test_what_is_paused_sounds_later():
    line = PlayedLine(24000, 16000)
    line.play(np.full(24000, 0.5, np.float32), 1.0)
    line.pause(1.5)
    line.play(np.full(24000, 0.25, np.float32), 2.0)
    assert line.before(1.5, 3200) is not None and line.before(3.0, 3200) is None
    line.resume(3.0)
    found = line.before(4.0, 16000)  # half a second of each
    assert found is not None
    assert np.allclose(found[200:7800], 0.5, atol=0.02) and np.allclose(found[8200:], 0.25, atol=0.02)
    line.pause(4.2)
    line.stop(5.0)
    assert line.before(4.2, 1600) is not None and line.before(5.5, 16000) is None


def test_a_pause_is_not_heard() -> None:
    playback = Playback(None, 24000, 0.0)
    playback.send(24000, 1.0)
    playback.pause(1.5)
    playback.send(12000, 2.5)
    assert playback.heard(3.0) == 12000 and playback.starts_s(3.0) == 2.5 and playback.runs_out_s(3.0) == 4.0
    playback.resume(3.0)
    assert playback.heard(3.0) == 12000 and playback.heard(3.5) == 24000 and playback.heard(9.0) == 36000
    playback.pause(9.0)
    playback.resume(10.0)
    assert playback.heard(10.0) == 36000


def test_an_unheard_line_does_not_grow() -> None:
    line = PlayedLine(24000, 16000)
    for second in range(500):
        line.play(np.ones(24000, np.float32), float(second))
    assert len(line._pieces) < 65


@pytest.mark.parametrize("reads", [True, False])
def test_a_session_hears_with_what_was_played(tmp_path, monkeypatch, reads: bool) -> None:
    model = only_words(toy_system(tmp_path / "llm", state_head=StateHeadConfig(reference=reads)))
    heard, run = [], ops._hear

    def seen(model, some):
        heard.extend(some)
        return run(model, some)

    monkeypatch.setitem(ops._RUN, ops.Hear, seen)
    rig = Rig(model)
    rig.open(0, turn_detection=TurnDetection.VAD, interrupt=False)
    rig.put(0, ev.TextInput("Hello"))
    rig.run()
    answer = rig.audio(0)
    for chunk in speech(1)[8000:][: 24 * 1280].reshape(-1, 1280):  # in real time, while the answer sounds
        rig.now_s += len(chunk) / 16000
        rig.put(0, chunk)
        rig.run()
    assert len(answer) >= 24000 and heard
    played = [op.played for op in heard if op.played is not None]
    assert bool(played) == reads
    for one, op in zip(played, heard, strict=False):
        assert len(one) == len(op.samples) and 0 < np.abs(one).max() <= 1.2 * np.abs(answer).max()


def test_chunks_that_come_at_once_have_each_its_own_time(tmp_path) -> None:
    model = toy_system(tmp_path / "llm", state_head=StateHeadConfig(reference=True))
    rig = Rig(model)
    rig.open(0)
    rig.run()
    slot = rig.scheduler.slots[0]
    slot._played.play(np.full(24000, 0.5, np.float32), 1.0)
    slot.put(np.zeros(3 * 2560, np.float32), 1.16)  # from 0.68 s on
    played = [item.played for item, _ in slot._inbox]
    assert played[0] is None and played[1] is None and played[2] is not None
    slot.put(np.zeros(2 * 2560, np.float32), 2.16)  # from 1.84 s on, where it ends after 2.0 s
    first, second = [item.played for item, _ in slot._inbox][3:]
    assert first is not None and np.abs(first[200:-200]).min() > 0.4 and (second is None or not second[400:].any())
