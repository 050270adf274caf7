"""The measures of serving, on a toy: they run, and say what happened."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks.load import material, official, throughput
from freeze_omni import pack
from tests.toy import toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


def test_sessions_in_a_batch_are_compared_with_the_same_alone(model):
    found = throughput.measure(model, material.sounds(None, 3))
    assert found["outputs_identical"] and found["audio_s"] > 6
    assert found["batch3_speedup"] == pytest.approx(found["alone_s"] / found["together_s"], rel=0.1)


def test_another_answer_is_no_equal():
    one, other = throughput.Said(1.0), throughput.Said(1.0)
    other.sounds.append(np.ones(3, dtype=np.float32))
    assert one.equals(throughput.Said(1.0)) and not one.equals(other)


@pytest.mark.servers
def test_the_official_client_against_a_worker_process(model, tmp_path):
    folder = pack.save(model, tmp_path / "pack")
    found = asyncio.run(official.measure(folder, material.sounds(None, 1)))
    assert found["faults"] == {}
    assert found["realtime_client_scenarios"] == ["spoken_turn", "interruption", "text_turn", "several_turns"]
