"""Turn taking on hand-made scenes, chunks of one second."""

import pytest

from freeze_omni.eval.states import Scene, TakeRule, first_decision, score_scenes, state_f1

RULE = TakeRule(chunk_s=1.0, early_s=0.5, late_s=2.0)


def scene(states, role="turn", end_s=3.0, paused=False, kind="question", labels=()):
    likely = [[0.8 if state == said else 0.1 for state in range(3)] for said in states]
    return Scene(kind, role, kind, end_s, paused, labels or [-1] * len(states), likely)


def test_the_first_state_that_is_not_zero_decides():
    assert first_decision(scene([0, 0, 2, 1]), RULE) == (2, 3.0)
    assert first_decision(scene([0, 0, 0]), RULE) is None


def test_no_probability_above_the_threshold_goes_on():
    unsure = Scene("a", "turn", "q", 1.0, False, [0], [[0.2, 0.4, 0.4]])
    assert first_decision(unsure, RULE) is None


def test_turns_taken_in_time_late_early_and_never():
    found = score_scenes(
        [
            scene([0, 0, 1]),  # at the end: delay 0
            scene([0, 0, 0, 1]),  # delay 1
            scene([0, 0, 0, 0, 0, 1]),  # 3 s late
            scene([0, 1]),  # before its end
            scene([0, 0, 0, 0]),  # never
            scene([0, 0, 2]),  # dropped
        ],
        RULE,
    )
    assert found["take"]["share"] == pytest.approx(2 / 6, abs=1e-4)
    assert found["turns_dropped"]["share"] == pytest.approx(1 / 6, abs=1e-4)
    assert found["delay_s"]["average"] == 0.5 and found["delay_s"]["count"] == 2
    assert found["false_pause"]["share"] is None and found["false_other"]["count"] == 0


def test_only_early_takes_in_turns_with_pauses_and_cut_off_turns_are_false():
    found = score_scenes(
        [
            scene([0, 1, 0], paused=True),
            scene([0, 0, 1], paused=True),
            scene([0, 0, 0, 1], role="cutoff", end_s=None),
            scene([0, 0, 0, 2], role="cutoff", end_s=None),
            scene([1]),  # no pause in it
        ],
        RULE,
    )
    assert found["false_pause"] == found["false_pause"] | {"share": 0.5, "count": 4}


def test_replies_to_what_is_not_for_the_system():
    found = score_scenes(
        [
            scene([0, 2], role="other", kind="noise"),
            scene([0, 1], role="other", kind="noise"),
            scene([0, 0], role="other", kind="side talk"),
        ],
        RULE,
    )
    assert found["false_other"]["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["false_other_by_kind"]["noise"]["share"] == 0.5
    assert found["take"]["share"] is None


def test_f1_over_labelled_chunks_only():
    f1 = state_f1([scene([0, 0, 1, 2], labels=[0, 1, 1, -1])])
    assert f1["0"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(0.6667), "chunks": 1}
    assert f1["1"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(0.6667), "chunks": 2}
    assert f1["2"]["chunks"] == 0 and f1["2"]["f1"] == 0.0
