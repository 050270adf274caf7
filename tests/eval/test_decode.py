"""Batched decoding gives what a session gives, and folders can be continued."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.adapter.ctc import CtcAdapterConfig
from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import TableError, write_table
from freeze_omni.duplex.state_head import StateHeadConfig
from freeze_omni.eval import asr, qa, runner, sets, states
from freeze_omni.eval.batch import context, greedy_answers, hear, read_turns, state_probabilities
from freeze_omni.eval.config import AsrDecodeConfig, DecodeConfig, QaDecodeConfig
from freeze_omni.eval.qa import first_answer
from freeze_omni.eval.runner import Records, progress, read_records
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.session.events import StateDecision
from freeze_omni.session.session import SpeechSession
from tests.toy import TUNINGS, toy_system

CHUNK = 2560
TURNS = [("What does a cow say?", "It says moo."), ("And a cat?", "Meow.")]


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
    histories = [(), TURNS, ()]
    contexts = [context(model, before) for before in histories]
    streamed = states.stream(model, sounds, contexts)
    heard = hear(model, sounds)
    at_once = state_probabilities(model, heard, read_turns(model, heard, contexts))
    for sound, row, whole, before in zip(sounds, streamed, at_once, histories, strict=True):
        count = len(sound) // CHUNK
        assert len(row["probabilities"]) == count
        np.testing.assert_allclose(row["probabilities"], whole, atol=2e-4)
        if before:
            continue
        session = SpeechSession(model)
        said = [a for a in session.push(sound[:CHUNK]) if isinstance(a, StateDecision)]
        np.testing.assert_allclose(said[0].probabilities, row["probabilities"][0], atol=2e-4)


@pytest.mark.parametrize("adapter", [AdapterChoice(conv=ConvAdapterConfig()), AdapterChoice(ctc=CtcAdapterConfig())])
def test_what_the_system_plays_is_read_in_lock_step_as_in_a_session(tmp_path, adapter, sounds):
    model = toy_system(tmp_path / "llm", adapter=adapter, state_head=StateHeadConfig(reference=True))
    torch.nn.init.normal_(model.state_head.output.weight)  # a fresh head makes nothing of it
    played = [None, sounds[2], sounds[0]]
    silent = states.stream(model, sounds, [context(model)] * 3)
    streamed = states.stream(model, sounds, [context(model)] * 3, played)
    assert streamed[0] == silent[0] and streamed[1]["probabilities"] != silent[1]["probabilities"]
    heard = hear(model, sounds)  # all at once nothing is played
    for row, whole in zip(silent, state_probabilities(model, heard, read_turns(model, heard)), strict=True):
        np.testing.assert_allclose(row["probabilities"], whole, atol=2e-4)
    for sound, own, row in zip(sounds, played, streamed, strict=True):
        own = None if own is None else own[:CHUNK]
        said = [a for a in SpeechSession(model).push(sound[:CHUNK], own) if isinstance(a, StateDecision)]
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


def test_a_later_round_is_read_after_the_text_that_stage_1_3_trains_on(model):
    ids = model.llm.order.before_turn(model.system_prompt, TURNS)
    read = context(model, TURNS)
    assert torch.equal(read[: len(ids)], model.llm.embed(torch.tensor(ids)))
    assert torch.equal(read[len(ids) :], model.prompt.weight.to(read.dtype))


def test_rounds_of_a_batch_do_not_hang_on_each_other(model, sounds):
    config = QaDecodeConfig(max_new_tokens=4)
    histories, questions = [TURNS, (), TURNS[:1]], ["And a dog?", "Hi", "Why?"]
    with torch.no_grad():
        together = qa.answer(model, sounds, questions, histories, config)
        for index, row in enumerate(together):
            given = ([sounds[index]], [questions[index]], [histories[index]])
            assert qa.answer(model, *given, config) == [row]
            heard, contexts = hear(model, given[0]), [context(model, histories[index])]
            alone = state_probabilities(model, heard, read_turns(model, heard, contexts))[0]
            assert first_answer(alone) == row["decision_chunk"]
        without = qa.answer(model, sounds, questions, [()] * 3, config)
    assert together[1] == without[1], "the first turn"
    assert all(together[later]["answer_text"] != without[later]["answer_text"] for later in (0, 2))


def test_a_cascade_types_what_the_ctc_head_wrote(model):
    config = QaDecodeConfig(max_new_tokens=4)
    rows = [{"transcript": text, "answer_text": "known"} for text in ("Why?", "What does a cow say?", "")]
    found = qa.typed_answers(model, rows, ["Why?", "And a cat?", "Hi"], [()] * 3, config)
    assert found == ["known", *qa.written_answers(model, ["What does a cow say?", ""], [()] * 2, config)]


def test_a_model_without_task_tokens_writes_no_transcripts(tmp_path, model, sounds, monkeypatch, capsys):
    data = tmp_path / "data"
    write_wav(data / "a.wav", sounds[0], 16000)
    write_table(data / "wav.scp", {"a": data / "a.wav"})
    write_table(data / "text", {"a": "Hello"})
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(runner, "load_model", lambda *_: model)
    config = DecodeConfig(asr=AsrDecodeConfig(llm=True))
    asr.decode(runner.DecodeJob(tmp_path / "model", data, tmp_path / "asr_a", config))
    assert "has no task tokens" in capsys.readouterr().err
    assert set(asr.score(tmp_path, config)["asr"]["a"]) == {"chunk4", "chunk_inf"}


def test_all_rounds_of_a_dialogue_are_asked_and_scored(tmp_path, model, sounds, monkeypatch):
    data = tmp_path / "data"
    keys = ["d1", "d1-round2", "d2"]
    for key, sound in zip(keys, sounds, strict=True):
        write_wav(data / f"{key}.wav", sound, 16000)
    write_table(data / "wav.scp", {key: data / f"{key}.wav" for key in keys})
    write_table(data / "text", dict.fromkeys(keys, "Hello"))
    write_table(data / "utt2question", {key: key for key in keys})
    write_table(data / "history", {"d1-round2": json.dumps(TURNS[:1])})
    (data / "questions.jsonl").write_text("".join(json.dumps({"id": key, "answers": []}) + "\n" for key in keys))
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(runner, "load_model", lambda *_: model)
    qa.decode(runner.DecodeJob(tmp_path / "model", data, tmp_path / "qa", DecodeConfig(), seed=1))
    found = read_records(tmp_path / "qa" / "records.jsonl")
    assert {key: record["round"] for key, record in found.items()} == {"d1": 1, "d1-round2": 2, "d2": 1}
    figures = qa.score(tmp_path, DecodeConfig())["qa"]
    assert figures["questions"] == 3 and "spoken" not in figures
    assert {name: one["questions"] for name, one in figures["rounds"].items()} == {"1": 2, "2": 1}


def test_the_first_decision_counts():
    goes, answers, ignores = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    assert first_answer([goes, answers, ignores]) == 1
    assert first_answer([goes, ignores, answers]) is None
    assert first_answer([goes, goes]) is None
    unsure = [0.0, 0.2, 0.8]
    assert first_answer([unsure, answers]) is None and first_answer([unsure, answers], no_answer_above=0.9) == 1


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
    with pytest.raises(ValueError, match="records.jsonl:2: no JSON object"):
        read_records(tmp_path / "records.jsonl")


def test_ids_are_spread_evenly_over_the_set():
    assert sets.first_keys(dict.fromkeys("edcba"), 9) == list("abcde")
    assert sets.first_keys(dict.fromkeys("abcdef"), 3) == ["a", "c", "e"]


def test_a_dialogue_counts_once_with_all_its_rounds():
    histories = {"a-round2": TURNS[:1], "a-round3": TURNS, "c-round2": TURNS[:1]}
    keys = ["c-round2", "b", "a-round3", "a", "a-round2", "c"]
    assert sets.whole_dialogues(keys, histories, 9) == ["a", "a-round2", "a-round3", "b", "c", "c-round2"]
    assert sets.whole_dialogues(keys, histories, 1) == ["a", "a-round2", "a-round3"]


def test_a_broken_history_names_its_turn(tmp_path):
    assert sets.read_histories(tmp_path) == {}
    (tmp_path / "history").write_text('a [["Hi", "Hello"]]\nb Hi, hello\n')
    with pytest.raises(TableError, match="history: b has no JSON list"):
        sets.read_histories(tmp_path)


def test_questions_without_answers_are_asked_where_there_are_no_others(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"id": "q1", "answers": []}\n{"id": "q2", "answers": []}\n')
    (tmp_path / "utt2question").write_text("u1 q1\nu2 q2\n")
    assert sets.asked(tmp_path) == ["u1", "u2"]
    (tmp_path / "questions.jsonl").write_text('{"id": "q1", "answers": ["yes"]}\n{"id": "q2", "answers": []}\n')
    assert sets.asked(tmp_path) == ["u1"]
    (tmp_path / "history").write_text('u2 [["Hi", "Hello"]]\n')
    assert sets.asked(tmp_path) == ["u1", "u2"]


def test_reference_answers_come_by_the_question_of_an_utterance(tmp_path):
    questions = [{"id": "q1", "answers": ["Paris"]}, {"id": "q2", "answers": []}]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    assert sets.question_answers(tmp_path) == {"q1": ["Paris"]}
    (tmp_path / "utt2question").write_text("u1 q1\nu2 q1\nu3 q2\n")
    assert sets.question_answers(tmp_path) == {"u1": ["Paris"], "u2": ["Paris"]}


@pytest.mark.parametrize("text", ["not json\n", '{"name": "no id"}\n', "[1]\n"])
def test_broken_jsonl_names_the_line(tmp_path, text):
    (tmp_path / "scene").write_text(text)
    with pytest.raises(TableError, match="scene(:|, item )1"):
        sets.read_jsonl(tmp_path / "scene")


def test_states_that_are_no_numbers_name_the_line(tmp_path):
    (tmp_path / "states").write_text("a 0 1\nb 0 x\n")
    with pytest.raises(TableError, match="states:2: b"):
        sets.read_states(tmp_path / "states")


def test_a_log_shows_progress_by_tenths(capsys):
    """Long work without a terminal is not silent, nor a line for each of a thousand items."""
    for done in range(1, 1001):
        progress("sessions", done, 1000, 0.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"sessions: {tenth}00/1000" for tenth in range(1, 11)]


READ = (
    "model/model.safetensors",
    "model/llm/config.json",
    "data/text",
    "data/wav.scp",
    "u.wav",
    "units.json",
    "voice.wav",
)


@pytest.fixture
def job(tmp_path):
    """A job whose records are of everything that READ names."""
    for name in READ:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"u {tmp_path}/u.wav\n")
    parts = {"units": tmp_path / "units.json", "voice": tmp_path / "voice.wav", "seed": 1}
    return runner.DecodeJob(tmp_path / "model", tmp_path / "data", tmp_path / "out", DecodeConfig(), **parts)


def decoded_again(job, made_from="settings") -> list[str]:
    done = []

    def work(todo):
        done.extend(todo)
        yield [{"id": key} for key in todo]

    job.run("test", ["a", "b"], made_from, work)
    return done


@pytest.mark.parametrize("name", READ)
def test_decoding_starts_afresh_if_a_file_has_changed_and_only_then(job, tmp_path, name):
    assert decoded_again(job) == ["a", "b"]
    content = (tmp_path / name).read_text()
    (tmp_path / name).write_text(content)  # a new time
    (tmp_path / "model/RESULTS.md").write_text("decoding does not read it\n")
    assert decoded_again(job) == []
    (tmp_path / name).write_text(content[:-2] + "x\n")
    assert decoded_again(job) == ["a", "b"]


def test_decoding_starts_afresh_for_another_seed_or_other_settings(job):
    decoded_again(job)
    assert decoded_again(dataclasses.replace(job, seed=2)) == ["a", "b"]
    assert decoded_again(dataclasses.replace(job, seed=2, threads=5)) == []
    assert decoded_again(dataclasses.replace(job, seed=2), "other settings") == ["a", "b"]
