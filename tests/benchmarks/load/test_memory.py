"""Memory by sessions: what grows is seen to grow, and what a session holds is counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.load import material, memory
from freeze_omni.llm.generate import GenerationConfig
from tests.toy import toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm", generation=GenerationConfig(max_new_tokens=3))


def test_sessions_that_come_and_go_and_some_that_stay(model, monkeypatch):
    monkeypatch.setattr(memory, "IDLE", 2)
    found = memory.measure(model, 3, [sound[::8] for sound in material.sounds(None, 2)])
    assert found["sessions_come_and_gone"] == 3
    assert 0 < found["cache_kb"] < 1000


def test_a_session_that_fails_is_no_measure(model):
    with pytest.raises(RuntimeError, match="session 0"):
        memory.measure(model, 1, [np.full(24000, np.nan, dtype=np.float32)])


def test_growth_is_the_slope_after_the_warm_up():
    assert memory.slope([(200, 5000.0), (400, 5100.0), (600, 5200.0)]) == pytest.approx(0.5)
    assert memory.slope([(1, 7.0)]) == 0


def test_what_is_held_is_counted_once_and_with_all_its_room():
    room = torch.zeros(100)

    class Layer:
        def __init__(self):
            self.room, self.keys = room, room[:10]

    assert memory.held_bytes([Layer(), {"x": np.zeros(5)}, torch.nn.Linear(3, 3)]) == 400 + 40


def test_memory_that_is_used_is_seen():
    before = memory.resident_kb()
    held = np.ones(4_000_000)
    assert 25_000 < memory.resident_kb() - before < 45_000
    del held
    assert memory.resident_kb() - before < 10_000
