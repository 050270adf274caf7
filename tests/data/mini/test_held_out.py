"""No training text has a question of a test set."""

import json

import pytest
from mini_held_out import HeldOut, read_outside
from prepare_mini import leave_out

from freeze_omni.data.questions import Question
from freeze_omni.data.tables import TableError
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job

ASKED = "Who's the author of the 2 books?"


@pytest.mark.parametrize(
    "text",
    [
        ASKED,
        "who is the author of the two books",
        "WHO IS THE AUTHOR, OF THE TWO BOOKS?!",
        "Tell me: who is the author of the two books, please?",
    ],
)
def test_a_question_is_known_in_every_spelling_and_inside_others(text):
    assert HeldOut([ASKED]).within(text)


@pytest.mark.parametrize("text", ["Who is the author of the three books?", "Who is the author?", "Yes.", ""])
def test_another_question_is_not(text):
    assert not HeldOut([ASKED, "", "Who is?"]).within(text)


def test_a_short_text_is_only_known_as_a_whole():
    held = HeldOut(["Who is?"])
    assert held.within("Who is") and not held.within("Who is that?")
    assert held.apart(["Who is that?", "Who is?", "Me."]) == ["Who is that?", "Me."]
    assert HeldOut().apart(["Who is?"]) == ["Who is?"]


def test_published_sets_are_read_in_their_own_forms(tmp_path):
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama/q.tsv").write_text("Question\tAnswer\nWho rang the bell?\tAnn\n")
    (tmp_path / "web.json").write_text(json.dumps([{"qId": "w1", "qText": "where is the sea", "answers": ["here"]}]))
    assert read_outside([tmp_path / "llama", tmp_path / "web.json"]) == ["Who rang the bell?", "where is the sea"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="0 files of questions"):
        read_outside([tmp_path / "empty"])


def test_training_loses_what_a_published_set_asks_and_tests_do_not(capsys):
    def jobs(*texts):
        return [Job(f"{n}", text, Voice("flite", "slt")) for n, text in enumerate(texts)]

    names = ("asr_train", "tts_train", "duplex_train", "asr_dev", "asr_test_seen", "asr_dev_open")
    sets = {name: jobs("Where is the sea?", "Where is the lake?") for name in names}
    one = Question("q1", "Where is the sea?", ("here",), "place", "p", "f")
    questions = {"train": [one], "test": [one]}
    leave_out(HeldOut(["where is the sea"]), sets, questions)
    left = {name: [job.text for job in own] for name, own in sets.items()}
    assert all(left[name] == ["Where is the lake?"] for name in names[:3])
    assert all(len(left[name]) == 2 for name in names[3:])
    assert questions == {"train": [], "test": [one]}
    assert "asr_train: 1 utterances are left out" in capsys.readouterr().out
