"""The mini recipe's plan, without speaking it: what is held out stays out, and every word is covered."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from freeze_omni.config import build, read_yaml
from freeze_omni.data.tables import read_table
from freeze_omni.data.tts.backends import Voice
from freeze_omni.dialogues.answers import LlmAnswer
from freeze_omni.dialogues.plan import DialogueConfig

LOCAL = Path(__file__).parents[3] / "egs/mini/s2s1/local"
sys.path.insert(0, str(LOCAL))

from mini_config import MiniConfig  # noqa: E402
from mini_plan import estimate_s  # noqa: E402
from mini_sentences import make_sentences  # noqa: E402
from mini_sets import plan_asr, plan_duplex, plan_tts  # noqa: E402
from mini_split import coverage  # noqa: E402
from real_speech import read_prompts, write_real_speech  # noqa: E402

ALL_VOICES = {
    "kokoro": ["af_heart", "am_adam", "bf_emma"],
    "flite": ["slt", "rms"],
    "espeak": ["en-us+m1"],
    "festival": ["hts"],
    "piper": ["en_US-joe-medium"],
}
ONLY_PYPI = {"kokoro": ["jf_alpha", "jm_kumo"]}


def scale(name: str) -> MiniConfig:
    path = LOCAL / "scales" / f"{name}.yaml"
    return build(MiniConfig, read_yaml(path), str(path))


def toy_answers(sentences) -> dict[str, LlmAnswer]:
    """Every question is answered by its own fact, in as many words as it has itself."""
    asked = [q for part in sentences.questions.values() for q in part]
    return {q.question: LlmAnswer(f"I say {q.answers[0]} about {q.fact.replace('-', ' ')}.", True) for q in asked}


@pytest.mark.parametrize("name", ["tiny", "mini", "base"])
def test_every_scale_is_well_formed(name: str) -> None:
    config = scale(name)
    path = LOCAL / "dialogue" / f"{name}.yaml"
    dialogue = build(DialogueConfig, read_yaml(path), str(path))
    assert dialogue.answers == config.answers and dialogue.voice == config.tts.voice
    sentences = make_sentences(LOCAL / "facts", config)
    assert len(sentences.questions["test"]) == config.split.test


def test_held_out_sentences_are_new_and_their_words_are_not() -> None:
    config = scale("mini")
    sentences = make_sentences(LOCAL / "facts", config)
    answers = dict(list(toy_answers(sentences).items())[-config.asked :])
    sets = plan_asr(sentences, answers, ALL_VOICES, config)
    texts = {name: {job.text for job in jobs} for name, jobs in sets.items()}
    assert not texts["asr_train"] & (texts["asr_test_seen"] | texts["asr_dev"])
    assert not texts["asr_test_seen"] & texts["asr_dev"]
    assert texts["asr_test_seen"] == texts["asr_test_unseen"]
    spoken = [job.text for job in sets["asr_train"]]
    asked = [q.question for q in sentences.questions["train"] if q.question in answers]
    assert all(spoken.count(question) >= config.asr.asked_recordings for question in asked)
    assert min(coverage(texts["asr_test_seen"], spoken).values()) >= 3
    speakers = {name: {job.voice.speaker for job in jobs} for name, jobs in sets.items()}
    assert speakers["asr_test_seen"] <= speakers["asr_train"]
    assert not speakers["asr_test_unseen"] & speakers["asr_train"]
    ids = [job.utterance for jobs in sets.values() for job in jobs]
    assert len(ids) == len(set(ids))


def test_seconds_and_voices_where_only_python_packages_are_reached() -> None:
    config = scale("mini")
    sets = plan_asr(make_sentences(LOCAL / "facts", config), {}, ONLY_PYPI, config)
    spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in sets["asr_train"])
    assert spoken_s == pytest.approx(config.asr.only_kokoro_s, rel=0.02)
    assert "asr_test_unseen" not in sets
    assert {job.voice.backend for jobs in sets.values() for job in jobs} == {"kokoro"}


def test_the_output_voice_never_says_a_held_out_answer() -> None:
    config = scale("mini")
    sentences = make_sentences(LOCAL / "facts", config)
    sets = plan_tts(sentences, toy_answers(sentences), config)
    train, test = ([job.text for job in sets[name]] for name in ("tts_train", "tts_test"))
    assert not set(train) & set(test) and len(test) == config.tts.test
    assert {str(job.voice) for job in sets["tts_train"]} == {config.tts.voice}
    speed = Voice.parse(config.tts.voice).speed
    assert sum(estimate_s(text, speed) for text in train) == pytest.approx(config.tts.train_s, rel=0.02)


def test_the_output_voice_says_every_word_in_any_order() -> None:
    config = scale("base")
    sentences = make_sentences(LOCAL / "facts", config)
    answers = toy_answers(sentences)
    sets, without = (
        plan_tts(sentences, answers, replace(config, tts=replace(config.tts, words_s=words_s))) for words_s in (3600, 0)
    )
    more = [job.text for job in sets["tts_words"]]
    speed = Voice.parse(config.tts.voice).speed
    assert sum(estimate_s(text, speed) for text in more) == pytest.approx(3600, rel=0.02)
    said = {word.strip(".?").lower() for text in more for word in text.split()}
    assert {"thick", "peace", "lisbon", "nairobi"} <= said
    assert not set(more) & {job.text for name in ("tts_dev", "tts_test") for job in sets[name]}
    assert len({job.utterance for jobs in sets.values() for job in jobs}) == sum(len(jobs) for jobs in sets.values())
    assert sets == without | {"tts_words": sets["tts_words"]}  # the rest of the corpus does not move


def test_duplex_recordings_are_told_apart_by_their_ids() -> None:
    config = scale("mini")
    sentences = make_sentences(LOCAL / "facts", config)
    sets = plan_duplex(sentences, ALL_VOICES, config)
    train, test = sets["duplex_train"], sets["duplex_test"]
    assert {job.utterance.split("-")[0] for job in train + test} == {"backchannel", "side", "filler"}
    assert {job.voice.speaker for job in test} == {"piper_en_US_joe_medium"}
    heard = {job.text for name, jobs in sets.items() if name != "duplex_test" for job in jobs}
    for kind in ("backchannel", "side", "filler"):
        said = [{job.text for job in jobs if job.utterance.startswith(kind)} for jobs in (train, test)]
        assert said[0] and said[1] and not said[1] & heard, "what is said in test scenes is in no training"
    assert not {job.text for job in test} & {*sentences.train, *sentences.backchannels}


def test_requests_to_wait_come_by_their_number_alone() -> None:
    config = scale("mini")
    sentences = make_sentences(LOCAL / "facts", config)
    without = plan_duplex(sentences, ALL_VOICES, config)
    sets = plan_duplex(sentences, ALL_VOICES, replace(config, duplex=replace(config.duplex, waits=20)))
    said = {name: {job.text for job in jobs if job.utterance.startswith("wait-")} for name, jobs in sets.items()}
    assert said["duplex_train"] and said["duplex_test"] and not said["duplex_train"] & said["duplex_test"]
    assert without["duplex_train"] == sets["duplex_train"][: len(without["duplex_train"])]


def test_recorded_prompts_are_plain_sentences(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir()
    for name in ("good", "sound", "short"):
        (tmp_path / "wav" / f"{name}.wav").touch()
    (tmp_path / "texts.txt").write_text(
        "good: Please  try again.\nsound: [a beep]\nshort: Added.\nlost: Not there at all.\n"
    )
    assert read_prompts(tmp_path) == {"good": "Please try again."}


@pytest.mark.parametrize("dev", [0, 3])
def test_recorded_prompts_for_development_are_in_no_other_set(tmp_path: Path, dev: int) -> None:
    def written(train: int, dev: int) -> dict[str, set[str]]:
        data = tmp_path / f"data{train}{dev}"
        write_real_speech(tmp_path, data, train, 2, dev)
        return {path.parent.name: set(read_table(path)) for path in data.glob("*/text")}

    (tmp_path / "wav").mkdir()
    for number in range(10):
        (tmp_path / f"wav/p{number}.wav").touch()
    (tmp_path / "texts.txt").write_text("".join(f"p{number}: Please try again.\n" for number in range(10)))
    without, found = written(4, 0), written(4, dev)
    assert {name: len(ids) for name, ids in found.items()} == {
        "asr_test_real": 2,
        "asr_real_train": 4,
        **({"asr_dev_real": dev} if dev else {}),
    }
    assert found.pop("asr_dev_real", set()).isdisjoint(set().union(*found.values())) and found == without
    assert len(written(9, 3)["asr_real_train"]) == 5, "what is left of ten"
