import types
from pathlib import Path

import pytest

from freeze_omni.data.questions import answers as module
from freeze_omni.data.questions.answers import AnswerConfig, LlmAnswer, answer_questions


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Batches that reached the LLM."""
    batches: list[list[str]] = []

    def answer(llm: object, batch: list[str], config: AnswerConfig) -> list[LlmAnswer]:
        batches.append(batch)
        return [LlmAnswer(question.upper(), len(question) < 5) for question in batch]

    monkeypatch.setattr(module, "_answer_batch", answer)
    return batches


def test_a_question_is_asked_once(tmp_path: Path, asked: list[list[str]]) -> None:
    llm = types.SimpleNamespace(fingerprint=lambda: "f")
    first = answer_questions(llm, ["why?", "where?", "why?"], AnswerConfig(), tmp_path)
    assert first == {"why?": LlmAnswer("WHY?", True), "where?": LlmAnswer("WHERE?", False)}
    assert answer_questions(llm, ["why?", "who?"], AnswerConfig(), tmp_path)["who?"].text == "WHO?"
    assert asked == [["why?", "where?"], ["who?"]]
    answer_questions(llm, ["why?"], AnswerConfig(system="Be brief."), tmp_path)
    assert asked[-1] == ["why?"]


def test_a_killed_run_loses_half_a_line_only(tmp_path: Path, asked: list[list[str]]) -> None:
    llm = types.SimpleNamespace(fingerprint=lambda: "f")
    answer_questions(llm, ["a?", "b?"], AnswerConfig(), tmp_path)
    (path,) = (tmp_path / "answers").iterdir()
    path.write_text(path.read_text()[:-10])
    answer_questions(llm, ["a?", "b?"], AnswerConfig(), tmp_path)
    assert asked == [["a?", "b?"], ["b?"]]
