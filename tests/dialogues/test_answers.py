import types
from pathlib import Path

import pytest

from freeze_omni.data.parts import WHOLE, LeftToOthers, Part
from freeze_omni.dialogues import answers as module
from freeze_omni.dialogues.answers import AnswerConfig, Asked, LlmAnswer, answer_questions, answer_rounds


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Batches that reached the LLM."""
    batches: list[list[str]] = []

    def answer(llm: object, batch: list[Asked], config: AnswerConfig) -> list[LlmAnswer]:
        batches.append([one.question for one in batch])
        return [LlmAnswer(one.question.upper(), len(one.question) < 5) for one in batch]

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


def test_of_an_answer_that_did_not_end_whole_sentences_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "It is 3. And then 3.": "",
        'Yes. "It is so." But if': 'Yes. "It is so."',
        "好的。然后": "好的。",
        "no end": "",
    }
    monkeypatch.setattr(
        module, "_answer_batch", lambda llm, batch, config: [LlmAnswer(q.question, False) for q in batch]
    )
    llm = types.SimpleNamespace(fingerprint=lambda: "f")
    kept = answer_questions(llm, list(texts), AnswerConfig(), tmp_path)
    assert all(answer == LlmAnswer(text, False) for text, answer in kept.items())
    found = answer_questions(llm, list(texts), AnswerConfig(unfinished="sentences"), tmp_path)
    assert {text: answer.text for text, answer in found.items()} == texts
    assert not any(answer.ended for answer in found.values())


def test_a_killed_run_loses_half_a_line_only(tmp_path: Path, asked: list[list[str]]) -> None:
    llm = types.SimpleNamespace(fingerprint=lambda: "f")
    answer_questions(llm, ["a?", "b?"], AnswerConfig(), tmp_path)
    (path,) = (tmp_path / "answers").iterdir()
    path.write_text(path.read_text()[:-10])
    answer_questions(llm, ["a?", "b?"], AnswerConfig(), tmp_path)
    assert asked == [["a?", "b?"], ["b?"]]


def test_the_same_question_after_other_words_is_another(tmp_path: Path, asked: list[list[str]]) -> None:
    llm = types.SimpleNamespace(fingerprint=lambda: "f")
    rounds = [Asked("why?"), Asked("why?", (("Hello.", "Hi."),))]
    for _ in range(2):
        assert list(answer_rounds(llm, rounds, AnswerConfig(), tmp_path)) == rounds
    assert asked == [["why?", "why?"]]


def test_the_llm_reads_what_was_said_before(tmp_path: Path) -> None:
    from freeze_omni.llm.chat import ChatTemplate
    from freeze_omni.llm.frozen import FrozenLLM
    from freeze_omni.llm.generate import GenerationConfig, generate_batch
    from tests.toy import toy_llm

    llm, config = FrozenLLM.load(toy_llm(tmp_path / "llm")), AnswerConfig("Be kind.", 6)
    later = Asked("Why?", (("Hello.", "Hi."),))
    chat = ChatTemplate.from_tokenizer(llm.tokenizer)
    prompt = chat.dialogue("Be kind.", [("Hello.", "Hi."), ("Why?", None)])
    (expected,) = generate_batch(llm, [prompt], GenerationConfig(max_new_tokens=6))
    found = answer_rounds(llm, [later, Asked("Why?")], config, tmp_path)
    assert found[later].text == llm.tokenizer.decode(expected.ids, skip_special_tokens=True).strip()
    assert found[later] != found[Asked("Why?")]


@pytest.mark.parametrize("jobs", [2, 3])
def test_an_array_of_jobs_asks_in_the_same_batches(tmp_path: Path, asked: list, monkeypatch, jobs: int) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    questions = [Asked("q" * number + "?") for number in range(1, 8)]

    def ask(cache: Path, part: Part = WHOLE):
        def all_of(some, keep):
            module._answer_all(None, AnswerConfig(), some, keep)

        return module.kept_answers("llm", all_of, questions, AnswerConfig(), cache, part)

    alone = ask(tmp_path / "one")
    batches, asked[:] = list(asked), []
    for number in range(jobs, 0, -1):
        if number > 1:
            with pytest.raises(LeftToOthers):
                ask(tmp_path / "more", Part(number, jobs))
        else:
            assert ask(tmp_path / "more", Part(number, jobs)) == alone, "all others are done"
    assert sorted(asked) == sorted(batches)
    asked.clear()
    for number in range(1, jobs + 1):
        assert ask(tmp_path / "more", Part(number, jobs)) == alone, "a next turn asks nothing"
    assert ask(tmp_path / "more") == alone and not asked
    (one,), (more,) = ((tmp_path / name / "answers").iterdir() for name in ("one", "more"))
    assert one.read_text() == more.read_text()


def test_the_answers_of_a_known_llm_are_found_without_loading_it(tmp_path: Path, asked: list, monkeypatch) -> None:
    loaded = []

    def load(folder, dtype, device):
        loaded.append(dtype)
        return types.SimpleNamespace(fingerprint=lambda: f"weights in {dtype}")

    monkeypatch.setattr("freeze_omni.llm.frozen.FrozenLLM.load", load)
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm/model").write_text("weights")
    for dtype in ("float32", "bfloat16", "float32"):
        ask = module.ask_frozen(str(tmp_path / "llm"), AnswerConfig(), tmp_path, dtype)
        assert ask([Asked("Why?")])[Asked("Why?")].text == "WHY?"
    assert loaded == ["float32", "bfloat16"] and len(asked) == 2
    (tmp_path / "llm/model").write_text("other weights")
    ask([Asked("Why?")])
    module.ask_frozen(str(tmp_path / "llm"), AnswerConfig(), tmp_path)([Asked("Why?")])
    assert loaded == ["float32", "bfloat16", "float32"], "another LLM in the folder"
