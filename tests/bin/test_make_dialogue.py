"""Stage 4's command: where answers come from, and one line for what cannot be used."""

from __future__ import annotations

import json

import pytest

from freeze_omni.bin import make_dialogue
from tests.commands import exit_code
from tests.toy import toy_llm

HERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def words(tmp_path):
    """Options of a stage 4 whose one question is spoken."""
    question = {"id": "q-1", "question": "Who?", "answers": [], "kind": "k", "phrasing": "p", "fact": "f"}
    for name, lines in {
        "qa/questions.jsonl": json.dumps(question),
        "asr/text": "u1 Who?",
        "asr/wav.scp": "u1 /gone.wav",
        "asr/utt2spk": "u1 s",
        "dialogue.yaml": "sets: {train: {qa: qa, speech: asr}}",
        "a.jsonl": '{"id": "q-2", "answer": "Ann."}',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{lines}\n")
    llm = toy_llm(tmp_path / "llm")
    places = ["--data", tmp_path, "--output", tmp_path / "out", "--cache", tmp_path / "cache", "--llm", llm]
    return [str(word) for word in ["--config", tmp_path / "dialogue.yaml", *places]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--answers", "{tmp}/a.jsonl"], "a.jsonl: no answer to q-1 ('Who?'), 1 of 1 questions in all"),
        (["--answers", "{tmp}/gone.jsonl"], "gone.jsonl: no such file"),
        (["--answers", "{tmp}/a.jsonl", "--answers_field", "words"], "--answers_field words: expected output=NAME"),
        (["--answers_url", "host"], "--answers_url host: expected the base of an API"),
        (["--answers_url", HERE, "--answers_requests", "0"], "--answers_requests 0: expected 1 to 1000"),
        (["--answers_url", HERE, "--answers_retries", "0"], f"--answers_url {HERE}, asked 'Who?': no connection"),
    ],
)
def test_an_error_is_one_line(words, options, told, tmp_path, capsys) -> None:
    given = [word.format(tmp=tmp_path) for word in options]
    with pytest.raises(SystemExit) as ended:
        make_dialogue.main([*words, *given])
    assert told in str(ended.value) and "\n" not in str(ended.value)


def test_two_sources_of_answers_exclude_each_other(words, capsys) -> None:
    assert exit_code(make_dialogue.main, [*words, "--answers", "a", "--answers_url", HERE]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_questions_without_an_answer_are_left_out_if_told_so(words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit, match="none of the questions of qa is spoken there"):
        make_dialogue.main([*words, "--answers", str(tmp_path / "a.jsonl"), "--answers_missing", "skip"])
    assert '"q-1"' in (tmp_path / "out/unanswered.jsonl").read_text()
