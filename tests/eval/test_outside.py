"""Test sets that others made: their forms, what is left out of them, and their way to RESULTS.md."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.ctc import CtcAdapterConfig
from freeze_omni.bin import decode, outside_sets, results, score
from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.kaldi_dir import read_sources
from freeze_omni.data.tables import read_jsonl, read_table, write_table
from freeze_omni.eval.config import OutsideConfig
from freeze_omni.eval.outside import Training, prepare
from freeze_omni.eval.sets import Outside, sound_batches
from freeze_omni.pack import save
from tests.toy import toy_system

ASKED = {"1": ("What is the capital of France?", "Paris"), "2": ("Who wrote Emma?", "Jane Austen")}
VOICE = "flite:slt"


def sound(path: Path, seconds: float = 0.4) -> Path:
    write_wav(path, (0.1 * np.random.default_rng(0).standard_normal(int(seconds * 16000))).astype(np.float32), 16000)
    return path


def llama(folder: Path) -> Path:
    """Like Llama Questions: a table with the sounds next to it."""
    rows = [f"{question}\t{answer}\t{key}.wav" for key, (question, answer) in ASKED.items()]
    for key in ASKED:
        sound(folder / f"{key}.wav")
    (folder / "llama_questions_300.tsv").write_text("\n".join(["Questions\tAnswer\tWav Filename", *rows]) + "\n")
    return folder


def web(folder: Path) -> Path:
    """Like Web Questions: text alone."""
    folder.mkdir()
    rows = [{"qId": f"q{key}", "qText": text, "answers": [answer]} for key, (text, answer) in ASKED.items()]
    (folder / "test.json").write_text(json.dumps(rows))
    return folder / "test.json"


def people(folder: Path) -> Path:
    write_table(folder / "wav.scp", {key: sound(folder / f"{key}.wav") for key in ASKED})
    write_table(folder / "text", {key: question for key, (question, _) in ASKED.items()})
    return folder


def asked_people(folder: Path) -> Path:
    people(folder)
    one = {"kind": "", "phrasing": "", "fact": ""}
    rows = [{"id": k, "question": q, "answers": [a], **one} for k, (q, a) in ASKED.items()]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


FORMS = {  # how each is made, its sound, whether it is asked
    "llama_questions": (llama, "published recordings", True),
    "webquestions": (web, f"spoken by {VOICE}", True),
    "people": (people, "recordings", False),
    "asked_people": (asked_people, "recordings", True),
}


@pytest.fixture
def speaks(tmp_path, monkeypatch):
    """A flite that says everything as the same sound."""
    folder = tmp_path / "programs"
    said = sound(folder / "said.wav", 0.3)
    (folder / "flite").write_text(f'#!/bin/sh\nfor last; do :; done\ncp {said} "$last"\n')
    (folder / "flite").chmod(0o755)
    monkeypatch.setenv("FREEZE_OMNI_FLITE_DIR", str(folder))
    monkeypatch.setenv("FREEZE_OMNI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def training(tmp_path) -> Path:
    """A training set that holds no question."""
    folder = tmp_path / "asr_train"
    write_table(folder / "text", {"a": "The capital of France is Paris.", "b": "Who wrote it?"})
    write_table(folder / "utt2spk", {"a": "flite_rms", "b": "flite_rms"})
    return folder


def made(tmp_path, path: Path, *training: Path, name: str = "them", **changes) -> Path:
    config = OutsideConfig(**({"voice": VOICE} | changes))
    prepare(name, path, tmp_path / "outside" / name, config, Training.read(training))
    return tmp_path / "outside" / name


@pytest.mark.parametrize("form", FORMS)
def test_each_form_becomes_a_data_directory_whose_sounds_stay_where_they_are(form, tmp_path, speaks, training, capsys):
    make, origin, asked = FORMS[form]
    folder = made(tmp_path, make(tmp_path / form), training)
    assert sorted(read_table(folder / "text").values()) == sorted(question for question, _ in ASKED.values())
    wavs = [Path(wav) for wav in read_table(folder / "wav.scp").values()]
    assert all(wav.is_file() and folder not in wav.parents for wav in wavs)
    assert Outside.of(folder) == Outside(origin, 2.5)
    assert (folder / "questions.jsonl").is_file() == asked
    if asked:
        assert [row["answers"] for _, row in read_jsonl(folder / "questions.jsonl")] == [["Paris"], ["Jane Austen"]]
    assert "warning" not in capsys.readouterr().out
    assert Outside.of(training) is None


HELD = {  # where a question may be in a data directory, and how it may be written there
    "text": "a please tell me what's the capital of FRANCE\n",
    "answer": "a You ask: what is the capital of France?\n",
    "history": f"a {json.dumps([['What is the capital of France', 'It is Paris.']])}\n",
    "questions.jsonl": json.dumps({"id": "a", "question": "What is the capital of France?"}) + "\n",
}


@pytest.mark.parametrize("table", HELD)
def test_a_question_in_the_training_texts_is_named_and_left_out(table, tmp_path, training, capsys):
    (training / table).write_text(HELD[table])
    folder = made(tmp_path, llama(tmp_path / "llama_questions"), training)
    said = f"warning: them: llama-0000 '{ASKED['1'][0]}' is in {training}; left out of the test set\n"
    assert capsys.readouterr().out == said
    assert read_table(folder / "text") == {"llama-0001": "Who wrote Emma?"}
    assert Outside.of(folder).left_out == ("llama-0000",)


def test_words_that_only_look_like_a_question_are_none(tmp_path, training):
    (training / "text").write_text("a what is the capital of francesca\nb who wrote emma and\n")
    assert len(read_table(made(tmp_path, llama(tmp_path / "q"), training) / "text")) == 1
    (training / "text").write_text("a what is the capital of\nb france who wrote\nc emma\n")
    assert len(read_table(made(tmp_path, llama(tmp_path / "q"), training) / "text")) == 2


def test_the_first_questions_are_asked(tmp_path):
    folder = made(tmp_path, llama(tmp_path / "q"), questions=1)
    assert list(read_table(folder / "text")) == ["llama-0000"]


def broken(kind: str, folder: Path, training: Path) -> Path:
    if kind == "sound":
        (llama(folder) / "2.wav").unlink()
    elif kind == "segments":
        (people(folder) / "segments").write_text("1 1 0 0.2\n2 2 0 0.2\n")
    elif kind == "pipe":
        (people(folder) / "wav.scp").write_text("1 cat 1.wav |\n2 cat 2.wav |\n")
    elif kind == "voice":
        (training / "utt2spk").write_text("a flite_slt\n")
        return web(folder)
    elif kind == "all held":
        (training / "text").write_text("a what is the capital of france\nb who wrote emma\n")
        return llama(folder)
    elif kind == "nothing":
        folder.mkdir()
    return folder


ERRORS = {
    "sound": "llama-0001 has no sound '2.wav' in",
    "segments": "has segments; cut them first",
    "pipe": "there is no such audio file; these sets need plain sound files",
    "voice": "outside.voice flite:slt is a voice of",
    "all held": "all of its questions are in the training texts",
    "nothing": "0 files of questions",
    "gone": "no such file or folder; correct --outside_sets",
}


@pytest.mark.parametrize("kind", ERRORS)
def test_what_cannot_be_used_is_told_in_one_line(kind, tmp_path, training):
    path = broken(kind, tmp_path / "them", training)
    (tmp_path / "decode.yaml").write_text(f"outside: {{voice: '{VOICE}'}}\n")
    words = [str(path), "--output", str(tmp_path / "out"), "--training", str(training)]
    with pytest.raises(SystemExit) as error:
        outside_sets.main([*words, "--config", str(tmp_path / "decode.yaml")])
    assert ERRORS[kind] in str(error.value) and "\n" not in str(error.value)


def test_a_voice_of_speech_output_alone_may_ask_but_its_texts_count(tmp_path, training, speaks, capsys):
    (training / "utt2spk").write_text("a flite_slt\n")
    (training / "text").write_text("a Tell me, who wrote Emma?\n")
    path = web(tmp_path / "them")
    prepare("them", path, tmp_path / "out", OutsideConfig(voice=VOICE), Training.read([], [training]))
    assert set(read_table(tmp_path / "out/utt2spk").values()) == {"flite_slt"}
    assert "is in" in capsys.readouterr().out


def test_two_sets_of_one_name_are_refused(tmp_path):
    first, second = people(tmp_path / "a/them"), people(tmp_path / "b/them")
    with pytest.raises(SystemExit, match="them: give it a name of its own"):
        outside_sets.main([str(first), str(second), "--output", str(tmp_path / "out")])


def test_silence_follows_each_sound(tmp_path):
    wav = sound(tmp_path / "a.wav", 0.5)
    ((_, (heard,)),) = sound_batches({"a": str(wav)}, [["a"]], 16000, tail_s=1.5)
    assert len(heard) == 32000 and not heard[8000:].any()
    assert np.array_equal(heard[:8000], read_audio(str(wav), 16000)[0])


class ToyJudge:
    """Hears every question as it was asked, in its order."""

    def __init__(self, *_):
        pass

    def transcribe(self, clips):
        return {key: "what is the capital of france" for key in clips}


DECODE = f"""
asr: {{utterances: 1, chunk_sizes: [4], batch: 2}}
qa: {{questions: 1, batch: 2, max_new_tokens: 4}}
outside: {{voice: "{VOICE}", tail_s: 0.5}}
"""


def test_they_are_decoded_scored_and_shown(tmp_path, speaks, training, monkeypatch):
    """All of stages 4, 11 and 12 that has to do with them, on a toy."""
    monkeypatch.setattr("freeze_omni.eval.judge.Judge", ToyJudge)
    (tmp_path / "decode.yaml").write_text(DECODE)
    (training / "answer").write_text("a Who wrote Emma?\n")
    config, outside, root = ["--config", str(tmp_path / "decode.yaml")], tmp_path / "outside", tmp_path / "root"
    given = [str(llama(tmp_path / "llama_questions")), f"webquestions={web(tmp_path / 'wq')}"]
    given += [str(people(tmp_path / "people")), str(asked_people(tmp_path / "test"))]
    outside_sets.main([*given, "--output", str(outside), "--training", str(training), *config])
    assert [source.set for source in read_sources(outside / "sources.jsonl")] == [
        "llama_questions", "webquestions", "people", "test"
    ]  # fmt: skip
    adapter = AdapterChoice(ctc=CtcAdapterConfig())
    save(toy_system(tmp_path / "llm", adapter=adapter), tmp_path / "pack")
    sets = ["--qa", str(outside / "test"), "--asr", str(outside / "people")]
    sets += ["--questions", str(outside / "llama_questions"), str(outside / "webquestions")]
    sets += ["--streamed", str(outside / "llama_questions")]
    decode.main(
        ["all", "--model", str(tmp_path / "pack"), "--root", str(root), "--judge", str(tmp_path / "whisper"), *config]
        + [*sets, "--only", "asr", "qa", "latency"]
    )
    assert (root / "latency_llama_questions/decode.json").is_file()
    score.main(
        ["--root", f"ctc={root}", "--output", str(tmp_path / "mini.json"), "--scale", "mini", *config]
        + ["--sources", str(outside / "sources.jsonl")]
    )
    found = json.loads((tmp_path / "mini.json").read_text())
    people_, llama_ = found["models"]["ctc"]["asr"]["people"], found["models"]["ctc"]["qa"]["sets"]["llama_questions"]
    assert people_["chunk4"]["utterances"] == 2, "the whole set, whatever asr.utterances says"
    assert people_["chunk4"]["characters"]["words"] > people_["chunk4"]["words"]
    assert people_["judge"]["deletions"] + people_["judge"]["substitutions"] + people_["judge"]["insertions"] > 0
    assert llama_["left_out"] == 1 and llama_["questions"] == 1 and llama_["judged_transcript"]["percent"] == 0
    assert llama_["judged"]["accuracy"] == llama_["text"]["accuracy"], "it heard what was asked"
    assert found["llama_questions_wer"] == round(llama_["transcript"]["percent"], 4)
    assert found["llama_questions_ratio"] == llama_["ratio"]
    assert found["asr_wer_people"] == people_["chunk4"]["percent"] and found["asr_wer_real"] is None
    results.main(["--results", str(tmp_path / "mini.json"), "--output", str(tmp_path / "RESULTS.md")])
    text = (tmp_path / "RESULTS.md").read_text()
    assert (
        "| `asr_wer_people` | words of `people` heard wrong, % |" in text
        and "| mini, CTC tokens (a cascade) | people |" in text
    )
    assert "| mini, CTC tokens (a cascade) | llama_questions, published recordings |" in text
    assert (
        "| mini, CTC tokens (a cascade): the same LLM on the judge's transcript | webquestions, spoken by flite:slt |"
        in text
    )
    assert "- llama_questions, left out as they are in training texts: 1 questions" in text
    assert "| mini, llama_questions | published recordings | - | 1 |" in text
    assert ASKED["1"][0] not in text and ASKED["1"][0] not in (tmp_path / "mini.json").read_text()
