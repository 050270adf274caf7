"""The rule of right answers."""

import pytest

from freeze_omni.eval.qa import accuracy, best_constant, is_right, score_rounds


@pytest.mark.parametrize(
    ("answer", "references", "right"),
    [
        ("The capital of France is Paris.", ["Paris"], True),
        ("It is Parisian.", ["Paris"], False),
        ("They eat twenty-one apples.", ["21"], True),
        ("It runs through the Nile valley", ["The Nile"], True),
        ("I don't know.", ["Paris", "Rome"], False),
        ("Rome, of course!", ["Paris", "Rome"], True),
        ("new delhi", ["Delhi New"], False),
        ("", ["Paris"], False),
        ("anything", ["the"], False),
    ],
)
def test_a_reference_has_to_occur_word_for_word(answer, references, right):
    assert is_right(answer, references) is right


def test_accuracy_counts_unanswered_questions_as_wrong():
    found = accuracy({"1": "Paris", "2": "no idea"}, {"1": ["Paris"], "2": ["Rome"], "3": ["Oslo"]})
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["wrong"] == ["2", "3"] and found["answered"] == 2
    assert found["low"] <= found["accuracy"] <= found["high"]


def test_questions_that_cannot_be_scored_are_errors():
    with pytest.raises(ValueError, match="question '2' has no reference answer"):
        accuracy({}, {"1": ["a"], "2": []})
    with pytest.raises(ValueError, match="no questions"):
        accuracy({}, {})


def asked(answer, answer_text="It is Paris.", **more):
    same = {"question": "What is it?", "transcript": "What is it?", "answer_own": "", "decision_chunk": None}
    return {**same, "answer": answer, "answer_text": answer_text, **more}


def test_ratios_have_intervals_over_pairs_and_the_judge_is_beside():
    records = {str(n): asked("Rome", judged="What is it?", answer_judged="Paris") for n in range(8)}
    records |= {"8": asked("Paris", judged="What was", answer_judged="Rome")}
    found = score_rounds(records, dict.fromkeys(records, ["Paris"]), "english")
    assert found["ratio"] == found["ratios"]["spoken"]["mean"] == pytest.approx(1 / 9, abs=1e-4)
    assert 0 == found["ratios"]["spoken"]["low"] < found["ratio"] < found["ratios"]["spoken"]["high"] < 0.5
    assert found["ratios"]["judged"]["mean"] == pytest.approx(8 / 9, abs=1e-4) and found["ratios"]["own"]["mean"] == 0
    assert 0 < found["judged_transcript"]["percent"] < found["transcript"]["percent"] + 100
    unheard = score_rounds({"0": asked("Rome", answer_text="Oslo")}, {"0": ["Paris"]}, "english")
    assert unheard["ratio"] is None and "judged" not in unheard


def test_rounds_are_scored_alone_and_together():
    records = {
        "a": asked("It is Paris.", decision_chunk=3),
        "b": asked("It is Rome.", round=1),
        "a-round2": asked("It is not Paris.", round=2, transcript="What is"),
    }
    found = score_rounds(records, {"a": ["Paris"], "b": ["Paris"], "other": ["Oslo"]}, "english")
    assert found["questions"] == 3 and found["ended"] == 1
    assert found["spoken"]["accuracy"] == 0.5 and found["ratio"] == 0.5 and found["own"]["accuracy"] == 0
    assert found["as_text"]["percent"] == pytest.approx(100 * 2 / 9, abs=0.01)
    first, later = found["rounds"]["1"], found["rounds"]["2"]
    assert first["spoken"]["questions"] == 2 and first["transcript"]["percent"] == 0
    assert "spoken" not in later and later["as_text"]["utterances"] == 1 and later["transcript"]["percent"] > 0
    assert "rounds" not in score_rounds({"b": records["b"]}, {}, "english")
    assert score_rounds({"b": asked("Yes.", answer_text="")}, {}, "english")["as_text"] is None
    assert score_rounds({}, {"a": ["Paris"]}, "english") == {}


def test_what_a_system_without_ears_would_reach_is_beside():
    references = {"a": ["Paris"], "b": ["the Paris"], "c": ["Rome", "Roma"], "d": ["It"]}
    assert best_constant(references) == "paris" and best_constant({}) == ""
    found = score_rounds({key: asked("Rome") for key in references}, references, "english")
    assert found["constant"]["accuracy"] == 0.5 and found["constant"]["answer"] == "paris"
    assert found["echo"]["accuracy"] == 0.25, "`What is it?` has the answer `it`"


def test_answers_differ_from_those_to_the_text_where_the_question_was_heard():
    records = {"a": asked("It is Rome."), "b": asked("No.", transcript="What was it")}
    heard = score_rounds(records, {}, "english")["heard_as_text"]
    assert heard["percent"] == pytest.approx(100 / 3, abs=0.01) and heard["heard"] == 1
    assert score_rounds({"b": records["b"]}, {}, "english")["heard_as_text"] is None
