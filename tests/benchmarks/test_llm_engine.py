"""The benchmark of the LLM's arithmetic on a toy: its figures, and what counts as the same answer."""

from __future__ import annotations

import json

from benchmarks import llm_engine
from benchmarks.llm_engine import agreement, main
from freeze_omni.data.questions import Question, write_questions
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import toy_llm

QUESTIONS = [Question(str(n), f"What is {n}?", (word,), "fact", "a", str(n)) for n, word in enumerate(["one", "two"])]


def test_an_answer_is_kept_if_it_is_the_same_or_as_right():
    found = agreement(QUESTIONS, ["It is one.", "It is three."], ["It is one.", "It is four."])
    assert (found["llm_answer_equal"], found["same_words"]) == (1.0, 0.5)
    found = agreement(QUESTIONS, ["It is one.", "It is two."], ["It is one.", "It is four."])
    assert (found["llm_answer_equal"], found["right"]) == (0.5, {"before": 2, "after": 1})


def test_it_writes_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(llm_engine, "TURNS", 1)
    write_questions(tmp_path / "questions.jsonl", QUESTIONS)
    where = ["--questions", str(tmp_path / "questions.jsonl"), "--output", str(tmp_path / "speed.json")]
    need_llama_cpp()
    gguf = write_gguf(toy_llm(tmp_path / "llm"), tmp_path / "toy.gguf")
    main(["--llm", str(tmp_path / "llm"), "--gguf", str(gguf), *where, "--tokens", "3", "--threads", "1"])
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["llm_tokens_s_ratio"] > 0 and 0 <= found["llm_answer_equal"] <= 1 and found["questions"] == 2
    assert found["of"] == "toy.gguf" and found["int8"]["llm_tokens_s_ratio"] > 0
    assert set(found["tokens_per_s"]) == {"float32", "int8", "gguf"} and set(found["tokens_per_s"]["int8"]) == {
        "1",
        "4",
        "8",
    }
