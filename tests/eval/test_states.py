"""Turn taking on hand-made scenes, chunks of one second."""

from dataclasses import replace

import pytest

from freeze_omni.duplex.labels import Segment
from freeze_omni.eval.config import TakeRule
from freeze_omni.eval.states import SECTIONS, LabelledScene, decision_times, score_scenes, state_f1

RULE = TakeRule(chunk_s=1.0, early_s=0.5, late_s=2.0)


def likely(states):
    return [[0.8 if state == said else 0.1 for state in range(3)] for said in states]


def scene(states, kind="complete", end_s=3.0, paused=False, labels=(), more=()):
    segments = [Segment(kind, 0.1, end_s), *more]
    flags = [paused, *[False] * len(more)]
    return LabelledScene("a", segments, flags, labels or [-1] * len(states), likely(states))


def test_decisions_need_the_threshold_and_2_goes_before_1():
    said = [[0.1, 0.8, 0.1], [0.2, 0.4, 0.4], [0.0, 0.2, 0.8], [0.1, 0.8, 0.1]]
    one = LabelledScene("a", [], [], [], said)
    assert decision_times(one, 1, RULE, 0, 9) == [1.0, 4.0]
    assert decision_times(one, 1, RULE, 1, 3.9) == []
    assert decision_times(one, 2, RULE, 0, 9) == [3.0]
    assert decision_times(replace(one, no_answer_above=0.9), 2, RULE, 0, 9) == []


def test_turns_taken_in_time_late_early_and_never():
    found = score_scenes(
        [
            scene([0, 0, 1]),  # at the end: delay 0
            scene([0, 0, 0, 1]),  # delay 1
            scene([0, 0, 0, 0, 0, 1]),  # 3 s late
            scene([0, 1, 1]),  # before its end
            scene([0, 0, 0, 0]),  # never
            scene([0, 0, 2]),  # dropped
        ],
        RULE,
    )
    assert found["take"]["share"] == pytest.approx(2 / 6, abs=1e-4)
    assert found["turns_dropped"]["share"] == pytest.approx(1 / 6, abs=1e-4)
    assert found["delay_s"]["average"] == 0.5 and found["delay_s"]["count"] == 2
    assert found["false_pause"]["share"] is None and found["false_other"]["count"] == 0


def test_only_early_takes_in_turns_with_pauses_and_in_cut_off_turns_are_false():
    found = score_scenes(
        [
            scene([0, 1, 0], paused=True),
            scene([0, 0, 1], paused=True),
            scene([0, 0, 0, 1], kind="cutoff"),
            scene([0, 0, 0, 2], kind="cutoff"),
            scene([1]),  # no pause in it
        ],
        RULE,
    )
    assert found["false_pause"] == found["false_pause"] | {"share": 0.5, "count": 4}


def test_a_cut_off_turn_that_is_taken_up_again_is_judged_up_to_there():
    again = Segment("complete", 4.2, 5.0)
    found = score_scenes([scene([0, 0, 0, 0, 1], kind="cutoff", more=[again])], RULE)
    assert found["false_pause"]["share"] == 0 and found["take"]["share"] == 1


def test_replies_to_what_is_not_for_the_system():
    found = score_scenes(
        [
            scene([0, 2], kind="noise", end_s=1.5),
            scene([0, 1], kind="noise", end_s=1.5),
            scene([0, 0, 0, 0, 0, 1], kind="side", end_s=1.5),  # long after
        ],
        RULE,
    )
    assert found["false_other"]["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["false_other_by_kind"]["noise"]["share"] == 0.5
    assert found["take"]["share"] is None


def test_f1_over_labelled_chunks_only():
    f1 = state_f1([scene([0, 0, 1, 2], labels=[0, 1, 1, -1])])
    assert f1["0"] == f1["0"] | {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(0.6667), "chunks": 1}
    assert f1["1"] == f1["1"] | {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(0.6667), "chunks": 2}
    assert f1["2"]["chunks"] == 0 and f1["2"]["f1"] == 0.0 and f1["2"]["intervals"] == {}


def test_precision_and_recall_have_intervals_over_scenes():
    good, bad = scene([0, 1], labels=[0, 1]), scene([1, 1], labels=[0, 1])
    one = state_f1([good, bad] * 20)["1"]
    low, high = one["intervals"]["precision"]
    assert one["precision"] == pytest.approx(2 / 3, abs=1e-4) and 0.55 < low < 2 / 3 < high < 0.8
    assert one["intervals"]["recall"] == [1.0, 1.0]


def test_results_show_dropped_turns_and_each_state():
    figures = score_scenes([scene([0, 0, 2], labels=[0, 0, 1]), scene([0, 0, 1], labels=[0, 0, 1])], RULE)
    text = "\n".join(SECTIONS[0].lines([("mine", figures)]))
    assert "turns dropped %" in text and "50.0 (0.0-100.0), 2" in text
    assert "| mine | 1 | 100.0 (100.0-100.0) | 50.0 (0.0-100.0) | 0.667 | 2 |" in text
    for one in figures["f1"].values():
        del one["intervals"]  # of results recorded before there were any
    assert "| mine | 1 | 100.0 | 50.0 | 0.667 | 2 |" in "\n".join(SECTIONS[0].lines([("mine", figures)]))


def test_requests_to_wait_are_judged_of_a_head_that_knows_them():
    heard = [[0.1, 0.1, 0.1, 0.7]]
    four = replace(
        scene([0, 0, 0], kind="wait", end_s=2.0, labels=[0, 0, 3]), probabilities=[[0.7, 0.1, 0.1, 0.1]] * 2 + heard
    )
    three = scene([0, 0, 2], kind="wait", end_s=2.0, labels=[0, 0, 3])
    found = score_scenes([four], RULE)
    assert found["wait"]["share"] == 1 and found["f1"]["3"]["recall"] == 1.0
    assert "requests to wait that were heard as such: 100.0" in "\n".join(SECTIONS[0].lines([("mine", found)]))
    found = score_scenes([three], RULE)
    assert found["wait"]["count"] == 0 and list(found["f1"]) == ["0", "1", "2"] and found["f1"]["2"]["recall"] == 1.0
