"""Labels on hand-made timelines; 160 ms chunks, decisions 240 ms after the true end."""

from __future__ import annotations

import pytest

from freeze_omni.duplex.labels import LabelConfig, Segment, chunk_labels, decision_chunk, needed_s

CONFIG = LabelConfig()


def labels(chunks, *segments, config=CONFIG):
    return chunk_labels([Segment(*segment) for segment in segments], chunks, config)


def test_nothing_heard_is_all_listening():
    assert labels(4) == [0, 0, 0, 0]


def test_a_complete_turn_is_decided_and_stays_so():
    # ends at 0.5 s; 0.74 s is inside chunk 4, which ends at 0.8 s
    assert labels(8, ("complete", 0.1, 0.5)) == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["backchannel", "noise", "side"])
def test_what_needs_no_answer_is_two(kind):
    assert labels(6, (kind, 0.0, 0.4)) == [0, 0, 0, 2, 2, 2]


def test_a_cut_off_turn_never_ends():
    assert labels(6, ("cutoff", 0.0, 0.3)) == [0] * 6


@pytest.mark.parametrize(
    ("end_s", "delay_s", "chunk"), [(0.4, 0.24, 3), (0.41, 0.24, 4), (0.16, 0.0, 0), (0.161, 0.0, 1), (0.08, 0.08, 0)]
)
def test_the_decision_is_on_the_first_chunk_that_ends_late_enough(end_s, delay_s, chunk):
    config = LabelConfig(decision_delay_s=delay_s)
    assert decision_chunk(end_s, config) == chunk
    assert (chunk + 1) * config.chunk_s >= end_s + delay_s - 1e-5 > chunk * config.chunk_s - 1e-5


def test_audio_that_ends_early_has_no_decision():
    assert labels(3, ("complete", 0.0, 0.4)) == [0, 0, 0]
    assert needed_s([Segment("complete", 0.0, 0.4)], CONFIG) == pytest.approx(0.64)
    assert needed_s([], CONFIG) == 0


def test_listening_again_from_the_next_start():
    found = labels(12, ("backchannel", 0.0, 0.3), ("complete", 1.0, 1.4))
    assert found == [0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 1, 1]


def test_speaking_on_before_the_decision_voids_it():
    assert labels(8, ("complete", 0.0, 0.4), ("complete", 0.6, 0.8)) == [0] * 6 + [1, 1]


def test_noise_inside_or_into_a_turn_is_no_event():
    assert labels(8, ("complete", 0.1, 0.8), ("noise", 0.2, 0.4)) == [0] * 6 + [1, 1]
    assert labels(8, ("noise", 0.0, 0.3), ("complete", 0.4, 0.8)) == [0] * 6 + [1, 1]


def test_noise_that_goes_on_does_not_hold_a_turn_open():
    found = labels(12, ("complete", 0.0, 0.4), ("noise", 0.2, 1.0))
    assert found[3] == 1 and found[7] == 2 and found[4:7] == [-1] * 3


def test_a_cut_off_turn_waits_through_noise_for_its_end():
    segments = [("cutoff", 0.0, 0.4), ("noise", 0.7, 0.9), ("complete", 1.3, 1.6)]
    assert labels(14, *segments) == [0] * 11 + [1, 1, 1]


def test_segments_that_cannot_be_are_errors():
    for bad in (("speech", 0, 1), ("noise", 1, 1), ("noise", -1, 1)):
        with pytest.raises(ValueError):
            Segment(*bad)


def test_a_request_to_wait_is_three_also_after_a_turn_that_broke_off():
    assert labels(6, ("wait", 0.0, 0.4)) == [0, 0, 0, 3, 3, 3]
    assert labels(8, ("cutoff", 0.0, 0.3), ("wait", 0.4, 0.8)) == [0] * 6 + [3, 3]
    assert labels(8, ("complete", 0.0, 0.4), ("wait", 0.5, 0.8)) == [0] * 6 + [3, 3]


def test_nothing_ends_the_turn_in_which_the_system_waits_but_the_user():
    found = labels(14, ("wait", 0.0, 0.3), ("noise", 0.8, 1.0), ("complete", 1.3, 1.6))
    assert found == [0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 1, 1, 1]
