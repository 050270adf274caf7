"""The benchmark of a pretrained encoder's step, on a toy."""

from __future__ import annotations

from benchmarks.pretrained_step import compared
from tests.contract.parts.pretrained import toy_frontend


def test_both_ways_are_measured_with_the_same_weights() -> None:
    frontend = toy_frontend(lookahead_chunks=1)
    found = compared(frontend.model.state_dict(), frontend.config, steps=6)
    assert set(found) == {"users_1", "users_8"}
    for figures in found.values():
        assert figures["windows_ms"] > 0 and figures["cached_ms"] > 0
        assert abs(figures["ratio"] - figures["cached_ms"] / figures["windows_ms"]) < 0.1
