"""Question sets in the forms in which they are published."""

import json
import os
from pathlib import Path

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data.questions import read_published
from freeze_omni.data.tables import TableError

SHARED = Path(os.environ.get("FREEZE_OMNI_SHARED", Path(__file__).parents[4] / "shared"))
FILE = SHARED / "data/webquestions/main/test.json"


def test_web_questions_of_its_authors(tmp_path):
    rows = [
        {
            "url": "http://www.freebase.com/view/en/justin_bieber",
            "targetValue": '(list (description "Jazmyn Bieber") (description Jaxon))',
            "utterance": "what is the name of justin bieber brother?",
        }
    ]
    (tmp_path / "webquestions.examples.test.json").write_text(json.dumps(rows))
    (question,) = read_published(tmp_path / "webquestions.examples.test.json")
    assert question.question == rows[0]["utterance"] and question.answers == ("Jazmyn Bieber", "Jaxon")


def test_trivia_qa(tmp_path):
    answer = {"Value": "Sunset Boulevard", "Aliases": ["Sunset Blvd", "Sunset Boulevard"], "Type": "WikipediaEntity"}
    row = {"Question": "Which Lloyd Webber musical?", "QuestionId": "tc_33", "Answer": answer}
    (tmp_path / "verified-web-dev.json").write_text(json.dumps({"Data": [row], "Domain": "Web", "Version": 1.0}))
    (question,) = read_published(tmp_path)
    assert question.id == "tc_33" and question.answers == ("Sunset Boulevard", "Sunset Blvd")


def test_llama_questions(tmp_path):
    (tmp_path / "llama_questions_300.tsv").write_text("question\tanswer\nWhat is the capital of France?\tParis\n")
    (question,) = read_published(tmp_path / "llama_questions_300.tsv")
    assert (question.question, question.answers) == ("What is the capital of France?", ("Paris",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "no JSON object"),
        ("a.json", '[{"qId": 1, "qText": "?", "answers": "Paris"}]', "answers: expected a list, found 'Paris'"),
        (
            "a.json",
            '[{"qId": 1, "qText": "?", "answers": ["A"]}, {"qId": 1, "qText": "?", "answers": []}]',
            "1 comes twice",
        ),
        ("a.json", "{}", "neither Web Questions nor TriviaQA"),
        ("a.json", '[{"qId": 1}]', "lacks 'qText'"),
        ("a.tsv", "only a question\n", "a.tsv:1: expected `question<tab>answer`"),
        ("a.tsv", "", "no question in it"),
    ],
)
def test_other_files_are_told(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises((TableError, ConfigError), match=message):
        read_published(tmp_path / name)


def test_the_published_file_itself():
    if not FILE.is_file():
        pytest.skip("no folder with the published Web Questions (FREEZE_OMNI_SHARED)")
    questions = read_published(FILE)
    assert len(questions) > 1000 and all(question.answers for question in questions)
    assert questions[0].question == "what does jamaican people speak?"
