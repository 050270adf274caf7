"""Open text as it is planned: apart from the other sets, in addition to them, its development set in own voices."""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

import prepare_mini
import pytest
from mini_config import MiniConfig
from mini_grammar import read_grammar
from mini_held_out import HeldOut
from mini_open import OpenParts, open_texts, read_qa_dev, written_questions
from mini_open_sets import plan_open_dev, plan_open_speech, plan_open_train
from mini_plan import estimate_s
from mini_sentences import make_sentences
from mini_sets import plan_asr, plan_tts
from mini_split import words

from freeze_omni.config import build, read_yaml
from freeze_omni.data.tts.backends import Voice
from freeze_omni.dialogues.answers import LlmAnswer

LOCAL = Path(__file__).parents[3] / "egs/mini/s2s1/local"
VOICES = {"kokoro": ["af_heart", "am_adam", "bf_emma"], "flite": ["slt", "rms"], "piper": ["en_US-joe-medium"]}


def scale(name: str) -> MiniConfig:
    return build(MiniConfig, read_yaml(LOCAL / "scales" / f"{name}.yaml"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> OpenParts:
    folder = tmp_path_factory.mktemp("parts")
    common = [a + b + c for a in "bdfklm" for b in "aeio" for c in ("ck", "n", "rd", "lly")]
    (folder / "words.tsv").write_text("".join(f"{word}\t0.001\n" for word in common))
    (folder / "english").mkdir()
    turns = "".join(f"- - I have {n} old coats at home.\n" for n in range(100, 200))
    (folder / "english/ai.yml").write_text(f"conversations:\n{turns}")
    return OpenParts(folder / "words.tsv", folder)


def llm(questions, config):
    return {text: LlmAnswer(f"What is so nice about {text.split()[-1]}?", True) for text in questions}


@pytest.fixture(scope="module")
def planned(parts):
    """Sentences, configuration and open texts of a quarter of the mini scale."""
    config = scale("mini")
    config = replace(config, open=config.open.at(0.25))
    sentences = make_sentences(LOCAL / "facts", config)
    texts = open_texts(LOCAL / "open", parts, config, llm, sentences.train, sentences.held_out)
    return sentences, config, texts


def normalised(texts) -> set[str]:
    return {" ".join(words(text)) for text in texts}


def test_training_is_apart_from_every_held_out_set(planned):
    sentences, _, texts = planned
    train = normalised(text for kind in texts.train.values() for text in kind)
    dev, qa_dev = normalised(texts.dev), normalised(question.question for question in texts.qa_dev)
    own = normalised(sentences.held_out)
    assert len(train) > 2000 and not train & (dev | qa_dev | own)
    assert not dev & (qa_dev | own) and not qa_dev & (own | normalised(sentences.train))
    split = sentences.questions
    assert own >= normalised(question.question for name in ("dev", "test") for question in split[name])


def test_what_an_outside_set_asks_is_never_taken(planned, parts):
    sentences, config, texts = planned
    outside = [texts.train["questions"][3], texts.train["sentences"][5], texts.dev[-1], texts.qa_dev[0].question]
    again = open_texts(LOCAL / "open", parts, config, llm, sentences.train, [text.upper() for text in outside])
    said = [text for kind in again.train.values() for text in kind] + again.dev
    said += [question.question for question in again.qa_dev]
    assert not HeldOut(outside).apart(outside) and not [text for text in said if text in outside]
    assert len(again.dev) == len(texts.dev) - 1


def test_development_sets_are_large_enough_and_do_not_move(planned, parts):
    sentences, config, texts = planned
    assert len(texts.qa_dev) >= 60 and all(question.answers for question in texts.qa_dev)
    assert len({question.id for question in texts.qa_dev}) == len(texts.qa_dev)
    more = replace(config, open=scale("mini").open)
    other = open_texts(LOCAL / "open", parts, more, llm, sentences.train, sentences.held_out)
    assert (other.dev, other.qa_dev) == (texts.dev, texts.qa_dev)
    assert len(other.train["words"]) > 3 * len(texts.train["words"])


def test_questions_of_development_are_phrased_as_in_no_other_set():
    patterns = normalised(read_grammar(LOCAL / "open/questions.yaml").patterns)
    templates = [q.phrasing for part in make_sentences(LOCAL / "facts", scale("mini")).questions.values() for q in part]
    questions = normalised(question.question for question in read_qa_dev(LOCAL / "open/qa_dev.tsv"))
    assert len(questions) >= 100 and not questions & (patterns | normalised(templates))


def test_seconds_kinds_and_voices_of_training(planned):
    _, config, texts = planned
    config = replace(config, open=replace(config.open, seconds=config.open.seconds | {"kokoro": 90.0}))
    jobs = plan_open_train(texts, [], VOICES, config)
    for name in ("flite", "kokoro"):
        spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in jobs if job.voice.backend == name)
        assert spoken_s == pytest.approx(config.open.seconds[name], rel=0.02, abs=12)
    assert {job.voice.backend for job in jobs} == {"flite", "kokoro"}
    only = plan_open_train(texts, [], {"kokoro": VOICES["kokoro"]}, config)
    spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in only)
    assert spoken_s == pytest.approx(config.open.only_kokoro_s, abs=12)
    assert len({job.voice.speaker for job in jobs if job.voice.backend == "flite"}) == 2 * 5 * 3
    shares = {kind: sum(job.text in set(own) for job in jobs) / len(jobs) for kind, own in texts.train.items()}
    assert shares == pytest.approx(config.open.kinds, abs=0.08)
    assert len({job.utterance for job in jobs}) == len(jobs)


def test_a_kind_that_could_not_be_fetched_leaves_its_seconds_to_the_others(planned):
    sentences, config, _ = planned
    texts = open_texts(LOCAL / "open", OpenParts(), config, llm, sentences.train, sentences.held_out)
    assert not texts.train["words"] and not texts.train["sentences"]
    assert len(texts.dev) == config.open.dev
    jobs = plan_open_train(texts, [], VOICES, config)
    spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in jobs)
    assert spoken_s == pytest.approx(config.open.seconds["flite"], rel=0.02)


def test_the_output_voice_says_open_text(planned):
    _, config, texts = planned
    config = replace(config, open=replace(config.open, spoken_s=600.0))
    jobs = plan_open_speech(texts, config)
    voice = Voice.parse(config.tts.voice)
    assert sum(estimate_s(job.text, voice.speed) for job in jobs) == pytest.approx(600.0, rel=0.02)
    assert {job.voice for job in jobs} == {voice} and len({job.utterance for job in jobs}) == len(jobs)
    said = {job.text for job in jobs}
    assert said & set(texts.train["sentences"]) and said & set(texts.train["words"])
    assert not said & {*texts.dev, *texts.train["questions"]}


def test_open_questions_that_the_llm_answers_are_spoken_as_often_as_others(planned):
    _, config, texts = planned
    asked = texts.train["questions"][:5]
    said = [job.text for job in plan_open_train(texts, asked, VOICES, config)]
    assert all(said.count(question) >= config.asr.asked_recordings for question in asked)


@pytest.mark.parametrize("voices", [VOICES, {"kokoro": ["jf_alpha", "jm_kumo"]}], ids=["all", "only kokoro"])
def test_voices_of_development_are_in_no_other_set(planned, tmp_path, voices):
    sentences, config, texts = planned
    (tmp_path / "voices").mkdir()
    for name in ("af_heart", "am_adam", "bf_emma", "ff_siwis", "im_nicola", "pm_alex"):
        (tmp_path / "voices" / f"{name}.bin").touch()
    kokoro = tmp_path if "flite" in voices else tmp_path / "none"
    jobs = plan_open_dev(texts, voices, kokoro, config)
    assert {question.question for question in texts.qa_dev} | set(texts.dev) == {job.text for job in jobs}
    others = [job for own in plan_asr(sentences, {}, voices, config).values() for job in own]
    others += plan_open_train(texts, [], voices, config)
    speakers = {job.voice.speaker for job in jobs}
    assert len(speakers) >= 2 and not speakers & {job.voice.speaker for job in others}


def test_the_llm_writes_questions_about_words_of_the_lists(tmp_path):
    (tmp_path / "q.yaml").write_text("lists: {thing: [lamp, key, mouse/mice, oak]}\npatterns: ['What?']\n")
    grammar = read_grammar(tmp_path / "q.yaml")
    said = {
        "lamp": "Who invented the lamp?",
        "key": "A key opens doors.",
        "mouse": "Is 1 mouse old?",
        "oak": "Why oak?",
    }

    def write(prompts, config):
        topics = [prompt.split()[-1].strip(".") for prompt in prompts]
        return {topic: LlmAnswer(said[topic], topic != "oak") for topic in topics}

    found = written_questions(grammar, 9, write, random.Random(0))
    assert set(found) == {"Who invented the lamp?", "Is one mouse old?"}
    assert written_questions(grammar, 0, write, random.Random(0)) == []


def test_shares_must_add_up():
    with pytest.raises(ValueError, match="add up to 1"):
        replace(scale("tiny").open, kinds={"words": 0.5, "sentences": 0.1, "questions": 0.1})
    with pytest.raises(ValueError, match="--open_share -1"):
        scale("tiny").open.at(-1)


def test_other_sets_stay_as_they_are(parts, monkeypatch, tmp_path):
    config = scale("tiny")
    config = replace(config, open=config.open.at(1.0))
    sentences = make_sentences(LOCAL / "facts", config)
    answers = {"What?": LlmAnswer("That.", True)}
    sets = plan_tts(sentences, answers, config) | plan_asr(sentences, answers, VOICES, config)
    before = {name: list(jobs) for name, jobs in sets.items()}
    questions = dict(sentences.questions)
    monkeypatch.setattr(prepare_mini, "ask_llm", lambda _, asked, config: llm(asked, config))
    args = argparse.Namespace(
        held_out=[], real_speech=None, words=parts.words.parent, chatterbot=parts.chatterbot, llm="none"
    )
    prepare_mini.add_open_text(sets, questions, answers, sentences, VOICES, config, args)
    assert sets.pop("asr_dev_open") and sets.keys() == before.keys()
    assert all(jobs[: len(before[name])] == before[name] for name, jobs in sets.items())
    assert [name for name in sets if len(sets[name]) > len(before[name])] == ["tts_train", "asr_train"]
    asked = questions["train"][len(sentences.questions["train"]) :]
    assert questions["train"][: -len(asked)] == sentences.questions["train"]
    spoken = {job.text for job in sets["asr_train"]}
    assert len(asked) == config.open.asked and all(q.question in answers and q.question in spoken for q in asked)
    assert questions["dev_open"] and questions["dev"] == sentences.questions["dev"]
