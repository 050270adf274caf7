"""A file of answers: what names a question and an answer in it, and what happens to a question without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freeze_omni.data.tables import TableError
from freeze_omni.dialogues.answers import AnswerConfig, Asked, LlmAnswer
from freeze_omni.eval.answer_file import ask_file
from freeze_omni.eval.fields import UNNAMED, chosen

CONFIG = AnswerConfig()
WHO = Asked("Who is it?", ids=("q-1",))
WHY = Asked("Why?", ids=("q-2", "q-3"))
LATER = Asked("Why?", (("Hello.", "Hi."),), ("q-1-round2",))


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROWS = {
    "ids": [{"id": "q-1", "answer": "Ann."}, {"id": "q-3", "answer": "So. It"}],
    "texts": [{"question": "Who is it?", "answer": "Ann."}, {"question": " Why? ", "answer": "So. It"}],
    "ids and texts": [{"id": "q-1", "question": "Who is it?", "response": "Ann."}, {"id": "q-2", "response": "So. It"}],
    "the cache": [{"question": "Who is it?", "text": "Ann.", "ended": True}, {"question": "Why?", "text": "So. It"}],
    "another system": [{"question_id": "q-1", "prediction": "Ann."}, {"question_id": "q-2", "prediction": "So. It"}],
}


@pytest.mark.parametrize("rows", ROWS)
def test_an_answer_is_found_by_id_or_text(tmp_path: Path, rows: str) -> None:
    found = ask_file(write(tmp_path / "a.jsonl", *ROWS[rows]), UNNAMED, CONFIG)([WHO, WHY])
    assert found == {WHO: LlmAnswer("Ann.", True), WHY: LlmAnswer("So. It", True)}


def test_tables_and_named_fields_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("number\tsaid\tmodel_said\nq-1\tno\tAnn.\nq-2\tno\tSo.\n")
    with pytest.raises(TableError, match="name its field with --answers_field output=NAME"):
        ask_file(tmp_path / "a.tsv", chosen(None, [], "--answers_field"), CONFIG)
    fields = chosen(None, ["id=number", "output=model_said"], "--answers_field")
    assert ask_file(tmp_path / "a.tsv", fields, CONFIG)([WHO]) == {WHO: LlmAnswer("Ann.", True)}


@pytest.mark.parametrize("cut", [{"finish_reason": "length"}, {"ended": False}])
def test_an_answer_that_was_cut_did_not_end(tmp_path: Path, cut: dict) -> None:
    rows = [{"id": "q-1", "answer": "Ann.", "finish_reason": "stop"}, {"id": "q-2", "answer": "So. It", **cut}]
    path = write(tmp_path / "a.jsonl", *rows)
    assert ask_file(path, UNNAMED, CONFIG)([WHO, WHY])[WHY] == LlmAnswer("So. It", False)
    sentences = AnswerConfig(unfinished="sentences")
    assert ask_file(path, UNNAMED, sentences)([WHO, WHY]) == {
        WHO: LlmAnswer("Ann.", True),
        WHY: LlmAnswer("So.", False),
    }


def test_a_later_round_is_found_by_its_id_alone(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.jsonl", *ROWS["texts"])
    with pytest.raises(TableError, match=r"no answer to q-1-round2 \('Why\?'\), 1 of 1 questions in all"):
        ask_file(texts, UNNAMED, CONFIG)([LATER])
    ids = write(tmp_path / "ids.jsonl", {"id": "q-1-round2", "answer": "Then."})
    assert ask_file(ids, UNNAMED, CONFIG)([LATER])[LATER].text == "Then."


def test_a_question_without_an_answer_is_named_or_left_out_with_its_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"id": "q-1", "answer": None}, {"id": "q-2", "answer": "So."})
    with pytest.raises(
        TableError, match=rf"{path}: no answer to q-1 \('Who is it\?'\), 1 of 2 .*--answers_missing skip"
    ):
        ask_file(path, UNNAMED, CONFIG)([WHO, WHY])
    ask = ask_file(path, UNNAMED, CONFIG, tmp_path / "out/unanswered.jsonl")
    assert list(ask([WHO, WHY])) == [WHY] and ask([LATER]) == {}
    rows = [json.loads(line) for line in (tmp_path / "out/unanswered.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["q-1", "q-1-round2"] and rows[0]["reason"] == "no answer in a.jsonl"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no row in it"),
        ([{"id": "q-1", "answer": "A"}, {"id": "q-1", "answer": "B"}], "a.jsonl:2: the id q-1 comes twice"),
        ([{"id": "q-1", "answer": ["A"]}], "a.jsonl:1: the output is no text"),
        ([{"answer": "A"}], "no field is known as the id"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, rows: list[dict], told: str) -> None:
    with pytest.raises(TableError, match=told):
        ask_file(write(tmp_path / "a.jsonl", *rows), UNNAMED, CONFIG)


def test_an_id_of_two_questions_is_refused(tmp_path: Path) -> None:
    ask = ask_file(write(tmp_path / "a.jsonl", *ROWS["ids"]), UNNAMED, CONFIG)
    with pytest.raises(TableError, match="q-1 is the id of several questions"):
        ask([WHO, Asked("Where?", ids=("q-1",))])
