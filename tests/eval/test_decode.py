"""Batched decoding gives what a session gives, and folders can be continued."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.adapter.ctc import CtcAdapterConfig
from freeze_omni.data.tables import TableError
from freeze_omni.eval.decode import sets, states
from freeze_omni.eval.decode.answers import greedy_answers
from freeze_omni.eval.decode.listening import context, hear, state_probabilities
from freeze_omni.eval.decode.qa import first_answer
from freeze_omni.eval.records import Records, read_records
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.session.events import StateDecision
from freeze_omni.session.session import SpeechSession
from tests.toy import TUNINGS, toy_system

CHUNK = 2560


@pytest.fixture(scope="module", params=["conv", "ctc", "conv prefix", "conv lora"])
def model(request, tmp_path_factory):
    kinds = {"conv": ConvAdapterConfig(), "ctc": CtcAdapterConfig()}
    kind, _, tuning = request.param.partition(" ")
    adapter = AdapterChoice(**{kind: kinds[kind]})
    return toy_system(tmp_path_factory.mktemp(kind) / "llm", adapter=adapter, llm_tuning=TUNINGS.get(tuning))


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(chunks * CHUNK)).astype(np.float32) for chunks in (3, 6, 4)]


def test_states_in_lock_step_are_those_of_one_pass_and_of_a_session(model, sounds):
    streamed = states.stream(model, sounds)
    at_once = state_probabilities(model, hear(model, sounds))
    for sound, row, whole in zip(sounds, streamed, at_once, strict=True):
        count = len(sound) // CHUNK
        assert len(row["probabilities"]) == count
        np.testing.assert_allclose(row["probabilities"], whole[:count], atol=2e-4)
        session = SpeechSession(model)
        said = [a for a in session.push(sound[:CHUNK]) if isinstance(a, StateDecision)]
        np.testing.assert_allclose(said[0].probabilities, row["probabilities"][0], atol=2e-4)


def test_greedy_answers_to_positions_are_those_to_their_ids(model):
    prompts = [model.llm.chat.dialogue("Be kind.", [(text, None)]) for text in ("Hi", "What does a cow say?")]
    rows = [model.llm.embed(torch.tensor(prompt)) for prompt in prompts]
    expected = generate_batch(model.llm, prompts, GenerationConfig(6))
    assert greedy_answers(model.llm, rows, 6) == [answer.ids for answer in expected]


def test_the_context_is_what_a_session_reads_before_speech(model):
    chat = model.llm.chat
    size = len(chat.system(model.system_prompt)) + len(chat.user_prefix()) + model.config.prompt
    assert context(model).shape == (size, model.llm.hidden_size)


def test_the_first_decision_counts():
    goes, answers, ignores = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    assert first_answer([goes, answers, ignores]) == 1
    assert first_answer([goes, ignores, answers]) is None
    assert first_answer([goes, goes]) is None


def test_records_continue_and_start_afresh_for_other_settings(tmp_path):
    records = Records(tmp_path, {"model": 1})
    records.add([{"id": "a", "text": "é"}, {"id": "b", "text": ""}])
    with open(tmp_path / "records.jsonl", "a") as file:
        file.write('{"id": "c", "te')
    again = Records(tmp_path, {"model": 1})
    assert again.missing(["a", "b", "c"]) == ["c"] and again.found["a"]["text"] == "é"
    assert set(read_records(tmp_path / "records.jsonl")) == {"a", "b"}
    assert Records(tmp_path, {"model": 2}).missing(["a"]) == ["a"]


def test_a_broken_line_inside_records_is_an_error(tmp_path):
    (tmp_path / "records.jsonl").write_text('{"id": 1}\nnonsense\n{"id": 2}\n')
    with pytest.raises(ValueError, match="records.jsonl:2: no record"):
        read_records(tmp_path / "records.jsonl")


def test_ids_are_spread_evenly_over_the_set():
    assert sets.first_keys(dict.fromkeys("edcba"), 9) == list("abcde")
    assert sets.first_keys(dict.fromkeys("abcdef"), 3) == ["a", "c", "e"]


def test_reference_answers_come_by_the_question_of_an_utterance(tmp_path):
    questions = [{"id": "q1", "answers": ["Paris"]}, {"id": "q2", "answers": []}]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    assert sets.question_answers(tmp_path) == {"q1": ["Paris"]}
    (tmp_path / "utt2question").write_text("u1 q1\nu2 q1\nu3 q2\n")
    assert sets.question_answers(tmp_path) == {"u1": ["Paris"], "u2": ["Paris"]}


@pytest.mark.parametrize("text", ["not json\n", '{"name": "no id"}\n', "[1]\n"])
def test_broken_jsonl_names_the_line(tmp_path, text):
    (tmp_path / "scene").write_text(text)
    with pytest.raises(TableError, match="scene:1"):
        sets.read_jsonl(tmp_path / "scene")


def test_states_that_are_no_numbers_name_the_line(tmp_path):
    (tmp_path / "states").write_text("a 0 1\nb 0 x\n")
    with pytest.raises(TableError, match="states:2: b"):
        sets.read_states(tmp_path / "states")
