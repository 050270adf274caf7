from pathlib import Path

import pytest
from mini_facts import make_questions, make_statements, read_phrases

from freeze_omni.config import ConfigError
from freeze_omni.data.questions import read_questions, write_questions
from freeze_omni.data.tables import TableError


def test_every_fact_in_every_phrasing(toy_facts: Path) -> None:
    questions = make_questions(toy_facts)
    assert len(questions) == 12 * 5 == len({q.id for q in questions})
    first = questions[0]
    assert first.question == "What is the opposite of hot?" and first.answers == ("cold", "not hot")
    assert [q.held_out for q in questions[:5]] == [False] * 4 + [True]
    assert "The opposite of cold is hot." in [s.text for s in make_statements(toy_facts)]


def test_phrases_fill_their_slots(toy_facts: Path) -> None:
    phrases = read_phrases(toy_facts)
    assert phrases.backchannels == ("Okay.", "Right.") and phrases.held_out_backchannels == ("Yep.",)
    side_talk = phrases.said(toy_facts)
    assert len(side_talk) == 13 and "It is too wet here." in side_talk


def test_questions_come_back(toy_facts: Path, tmp_path: Path) -> None:
    questions = make_questions(toy_facts)
    write_questions(tmp_path / "questions.jsonl", questions)
    assert read_questions(tmp_path / "questions.jsonl") == questions


def test_mistakes_in_the_files_are_named(toy_facts: Path, tmp_path: Path) -> None:
    templates = toy_facts / "templates.yaml"
    good = templates.read_text()
    templates.write_text(good.replace("{word} is", "{wort} is"))
    with pytest.raises(ConfigError, match="'wort', not a column"):
        make_questions(toy_facts)
    templates.write_text(good.replace("words.tsv", "word.tsv"))
    with pytest.raises(TableError, match="word.tsv: no such table"):
        make_questions(toy_facts)
    (tmp_path / "q.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"q.jsonl:1: missing key 'id'"):
        read_questions(tmp_path / "q.jsonl")
