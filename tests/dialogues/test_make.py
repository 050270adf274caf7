"""Stage 4 over toy recordings: a toy LLM's answers, spoken by a toy program."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
import soundfile
from omniio.kaldi import load_scp

from freeze_omni.config import ConfigError, build
from freeze_omni.data.datadir import validate
from freeze_omni.data.kaldi_dir import write_spoken_set
from freeze_omni.data.parts import WHOLE, LeftToOthers, Part
from freeze_omni.data.questions import Question, read_questions, write_questions
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job, TtsFolders, synthesize
from freeze_omni.dialogues import compose as module
from freeze_omni.dialogues.answers import LlmAnswer
from freeze_omni.dialogues.make import make_dialogues
from freeze_omni.dialogues.plan import DialogueConfig, SetConfig, spoken_answer
from freeze_omni.eval.sets import asked

CONFIG = {
    "voice": "program:answers",
    "sets": {
        "train": {
            "qa": "qa",
            "speech": "asr",
            "duplex": "duplex",
            "answer_words": 4,
            "speak_answers": True,
            "paused_share": 0.5,
            "scenes": {"cutoff": 2, "backchannel": 1, "noise": 2, "side": 1},
        }
    },
}

MANY = {"scenes": {"complete": 8}}  # with three questions


@pytest.fixture
def data(tmp_path: Path, toy_program: str) -> Path:
    """data/{qa,asr,duplex}: six questions, four of which are spoken."""
    folders = TtsFolders(cache=str(tmp_path / "cache"), program=toy_program)
    asked = ["What is the opposite of hot?", "What is the opposite of cold?", "Tell me the opposite of hot."]
    asked += ["Do you know the opposite of hot?", "What's the opposite of cold?", "Tell me the opposite of cold."]
    questions = [Question(f"opposite-{i}", text, ("cold",), "opposite", text, "hot") for i, text in enumerate(asked)]
    (tmp_path / "qa").mkdir()
    write_questions(tmp_path / "qa/questions.jsonl", questions)
    asr = [Job(f"x-{i}", q.question, Voice.parse("program:x")) for i, q in enumerate(questions[:4])]
    talk = [
        Job("backchannel-1", "Okay.", Voice.parse("program:y")),
        Job("side-1", "Close the door.", Voice.parse("program:y")),
    ]
    for name, jobs in (("asr", asr), ("duplex", talk)):
        write_spoken_set(tmp_path / name, jobs, synthesize(jobs, folders))
    return tmp_path


def ask(questions):
    """The toy LLM: a long answer to the first question, short ones to the others."""
    said = {one: LlmAnswer(f"It is {2 + len(one.history)}.", True) for one in questions}
    if questions and not questions[0].history:
        said[questions[0]] = LlmAnswer("This goes on and on and on.", True)
    return said


def test_a_set_has_every_table(data: Path, toy_program: str) -> None:
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    make_dialogues(build(DialogueConfig, CONFIG), data, data / "out", ask, folders, 1)
    out = data / "out/train"
    wavs, states = read_table(out / "wav.scp"), read_table(out / "states")
    answer, answer_wavs = read_table(out / "answer"), read_table(out / "answer_wav.scp")
    assert len(wavs) == len(states) == 3 + 6 and len(answer) == len(answer_wavs) == 3
    assert set(answer.values()) == {"It is two."} and len(set(answer_wavs.values())) == 1
    assert {soundfile.info(path).samplerate for path in answer_wavs.values()} == {24000}, "the voice has 16 kHz"
    for key, path in wavs.items():
        info = soundfile.info(path)
        assert info.samplerate == 16000 and info.frames == 2560 * len(states[key].split())
        assert ("1" in states[key].split()) == (key in answer)
    scenes = [json.loads(line) for line in (out / "scene").read_text().splitlines()]
    assert [scene["id"] for scene in scenes] == sorted(wavs)
    assert sum(scene["kind"] in ("complete", "paused") for scene in scenes) == 3
    asked = {json.loads(line)["id"] for line in (out / "questions.jsonl").read_text().splitlines()}
    assert asked == set(read_table(out / "utt2question").values())


def test_scenes_add_turns_for_their_states_alone(data: Path, toy_program: str) -> None:
    """The question whose answer is too long is among them; an answer table has none."""
    out = made(data, toy_program, scenes={"complete": 12, "paused": 3})
    kinds = [json.loads(line)["kind"] for line in (out / "scene").read_text().splitlines()]
    states, text = read_table(out / "states"), read_table(out / "text")
    added = [key for key in states if key.startswith(("complete-", "paused-"))]
    assert len(added) == 15 and len(kinds) == 3 + 15 and all("1" in states[key].split() for key in added)
    assert set(read_table(out / "answer")) == set(states) - set(added)
    assert {text[key] for key in added} == set(read_table(data / "asr/text").values())
    with pytest.raises(TableError, match="no recordings for 'paused' scenes"):
        made(data, toy_program, qa="", scenes={"paused": 1})


def test_scenes_come_after_answers_that_may_have_been_cut(data: Path, toy_program: str) -> None:
    own = [Job("own-1", "Cold is the opposite of hot.", Voice.parse("program:own"))]
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    write_spoken_set(data / "own", own, synthesize(own, folders))
    scenes = {"backchannel": 12, "noise": 12, "echo": 12}
    out = made(data, toy_program, scenes=scenes, after_answer=0.5, own_voice="own")
    answered, history = read_table(out / "answer"), read_table(out / "history")
    rounds = {key: json.loads(line) for key, line in history.items()}
    kinds = [key.split("-")[0] for key in rounds]
    assert not set(answered) & set(rounds) and kinds.count("echo") == 12
    assert 0 < kinds.count("noise") < 12 and 0 < kinds.count("backchannel") < 12
    questions = set(read_table(data / "asr/text").values())
    for key, ((question, answer),) in rounds.items():
        whole = own[0].text if key.startswith("echo") else "It is two."
        assert question in questions and answer and whole.startswith(answer)
    assert len({answer for ((_, answer),) in rounds.values()}) > 2, "some are cut"
    assert asked(out) == sorted(answered), "scenes with a history are no questions"
    assert not validate(out, "dialogue")
    with pytest.raises(TableError, match="own_voice: no recordings for 'echo' scenes"):
        made(data, toy_program, scenes={"echo": 1})


def test_some_pauses_have_a_filler(data: Path, toy_program: str) -> None:
    with pytest.raises(TableError, match="duplex: no recordings `filler-...`"):
        made(data, toy_program, fillers=0.5, scenes={})
    rows, wavs = read_table(data / "duplex/text"), read_table(data / "duplex/wav.scp")
    for table, value in ((rows, "Um."), (wavs, wavs["side-1"])):
        table["filler-1"] = value
    speakers = read_table(data / "duplex/utt2spk") | {"filler-1": "x"}
    for name, table in (("text", rows), ("wav.scp", wavs), ("utt2spk", speakers)):
        (data / "duplex" / name).write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    out = made(data, toy_program, fillers=0.5, scenes={"cutoff": 2, "paused": 20})
    scenes = [json.loads(line) for line in (out / "scene").read_text().splitlines()]
    pauses = [len(scene["pauses"]) for scene in scenes if scene["kind"] == "paused"]
    assert set(pauses) == {1, 2}
    with pytest.raises(ConfigError, match="fillers 2"):
        made(data, toy_program, fillers=2)


def test_the_system_speaks_in_scenes_after_its_answer(data: Path, toy_program: str) -> None:
    own = [Job("own-1", "Cold is the opposite of hot.", Voice.parse("program:own"))]
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    write_spoken_set(data / "own", own, synthesize(own, folders))
    scenes = {"cutoff": 24, "echo": 3}
    out = made(data, toy_program, scenes=scenes, after_answer=0.5, own_voice="own", speaks=0.5)
    played, history, wavs = (read_table(out / name) for name in ("played.scp", "history", "wav.scp"))
    said = {key: json.loads(line)[0][1] for key, line in history.items()}
    speaks = {key for key in said if own[0].text.startswith(said[key])}
    assert speaks == set(played) and {key for key in wavs if key.startswith("echo")} < speaks < set(said)
    for key, path in played.items():
        assert soundfile.info(path).frames == soundfile.info(wavs[key]).frames
    rows = load_scp(str(out / "reference.scp"))
    assert set(rows) == set(wavs) and {key for key in rows if rows[key].any()} == set(played)
    assert {key: len(rows[key]) for key in rows} == {
        key: len(line.split()) for key, line in read_table(out / "states").items()
    }
    assert not validate(out, "dialogue")
    again = made(data, toy_program, scenes={"cutoff": 1})
    assert not (again / "played.scp").exists() and not (again / "reference.scp").exists()
    with pytest.raises(ConfigError, match="speaks 0.5"):
        made(data, toy_program, speaks=0.5)


@pytest.fixture
def dialogues(data: Path, toy_program: str) -> Path:
    """Three rounds to every question; x speaks the second of q1 and q2, y that of q3, nobody the third of q2."""
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    questions = read_questions(data / "qa/questions.jsonl")[:4]
    jobs = [Job(f"x-{i}", q.question, Voice.parse("program:x")) for i, q in enumerate(questions)]
    rows = []
    for i, question in enumerate(questions):
        said = [question.question, f"And word {i}?", f"Or word {i}?"]
        rows.append({"id": question.id, "rounds": [{"user": text, "assistant": "Unused."} for text in said]})
        voice = Voice.parse("program:y" if i == 3 else "program:x")
        jobs.append(Job(f"{voice.speaker}-{i}-1", said[1], voice))
        if i != 2:
            jobs.append(Job(f"x-{i}-2", said[2], Voice.parse("program:x")))
    (data / "qa/dialogues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_spoken_set(data / "asr", jobs, synthesize(jobs, folders))
    return data


def made(data: Path, toy_program: str, misheard=None, **more) -> Path:
    """Stage 4 with these keys for its one set, and its folder."""
    config = {**CONFIG, "sets": {"train": {**CONFIG["sets"]["train"], "scenes": {}, **more}}}
    if misheard is not None:
        config["rejection"] = {}
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    make_dialogues(build(DialogueConfig, config), data, data / "out", ask, folders, 1, misheard)
    return data / "out/train"


def test_later_rounds_come_after_the_llms_own_answers(dialogues: Path, toy_program: str) -> None:
    out = made(dialogues, toy_program, rounds=3)
    asked, histories = read_table(out / "text"), read_table(out / "history")
    question = read_questions(dialogues / "qa/questions.jsonl")[1].question
    first = {key: text for key, text in asked.items() if key not in histories}
    assert len(first) == 3, "one answer is too long"
    later = {tuple(key.rsplit("-", 1)[1] for key in histories if asked[key].endswith(f"word {i}?")) for i in range(4)}
    assert later == {(), ("round2", "round3"), ("round2",)}, "q1 has all, q2 two, q3 is spoken by another voice"
    key = next(key for key in histories if asked[key] == "Or word 1?")
    assert json.loads(histories[key]) == [[question, "It is two."], ["And word 1?", "It is three."]]
    assert read_table(out / "answer")[key] == "It is four." and "1" in read_table(out / "states")[key].split()
    assert validate(out, role="dialogue") == []
    made(dialogues, toy_program)
    assert not (out / "history").exists() and read_table(out / "text") == first


def test_what_is_misheard_is_left_out(data: Path, toy_program: str) -> None:
    before = made(data, toy_program)
    everything = read_table(before / "text")

    def misheard(folder, wavs, texts):
        assert set(wavs) == set(texts) and all(Path(path).is_file() for path in wavs.values())
        if folder.name == "answers":
            assert set(texts.values()) == {"It is two."}
            return set(texts)
        return {next(key for key, text in texts.items() if text == everything[min(everything)])}

    out = made(data, toy_program, misheard)
    assert set(everything) - set(read_table(out / "text")) == {min(everything)}, "its question was misheard"
    assert len(read_table(out / "answer")) == 2 and not (out / "answer_wav.scp").exists()


def test_it_ends_after_the_step_that_is_asked_for(data: Path, toy_program: str, monkeypatch) -> None:
    """Networks are asked in the first and the third step; what they say is kept elsewhere (`ask`, `misheard`)."""
    heard: list[str] = []

    def misheard(folder, wavs, texts):
        heard.append(folder.name)
        return set()

    config, out = build(DialogueConfig, {**CONFIG, "rejection": {}}), data / "out"
    folders = TtsFolders(cache=str(data / "other"), program=toy_program)
    steps = ("answers", "speech", "judged", "scenes")
    for until in steps:
        make_dialogues(config, data, out, ask, folders, 1, misheard, until=until)
        heard.append(until)
        assert any((data / "other").rglob("*.wav")) == (until != "answers")
        assert (out / "train/wav.scp").exists() == (until == "scenes")
    found = " ".join(heard).split("questions ")[1:]
    assert [one.split() for one in found] == [
        ["answers"], ["speech"], ["answers", "judged"], ["answers", "scenes"],
    ]  # fmt: skip


def test_rounds_and_rejection_are_checked() -> None:
    for wrong in ({"sets": {"a": {"speech": "asr", "rounds": 0}}}, {"sets": {}, "rejection": {"most_wer": -1}}):
        with pytest.raises(ConfigError, match="rounds 0|most_wer -1"):
            build(DialogueConfig, wrong, "dialogue.yaml")


def test_rerunning_gives_the_same(data: Path, toy_program: str) -> None:
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    for name in ("one", "two"):
        make_dialogues(build(DialogueConfig, CONFIG), data, data / name, ask, folders, 1)
    for file in ("states", "scene", "answer", "text"):
        assert (data / "one/train" / file).read_bytes() == (data / "two/train" / file).read_bytes()


def test_a_missing_source_is_named(data: Path, toy_program: str) -> None:
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    config = build(DialogueConfig, CONFIG)
    for name in ("wav.scp", "text", "utt2spk"):
        (data / "duplex" / name).write_text("")
    with pytest.raises(TableError, match="duplex/wav.scp: empty"):
        make_dialogues(config, data, data / "out", ask, folders, 1)
    assert not (data / "out").exists()


def test_which_answers_are_spoken() -> None:
    assert spoken_answer(LlmAnswer("It is 10 km.", True), 5) == "It is ten kilometers."
    assert spoken_answer(LlmAnswer("It is ten", False), 5) == ""
    assert spoken_answer(LlmAnswer("It is ten", False), 0) == "It is ten"
    assert spoken_answer(LlmAnswer("One two three four five six.", True), 5) == ""
    assert spoken_answer(LlmAnswer("One:\n- two", True), 5) == "" == spoken_answer(None, 5)


def test_a_directory_that_stage_4_has_not_made_is_kept(tmp_path):
    folder = tmp_path / "out" / "train"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("u1 /mine/u1.wav\n")
    config = DialogueConfig(sets={"train": SetConfig("asr")})
    with pytest.raises(TableError, match="stage 4 has not made"):
        make_dialogues(config, tmp_path, tmp_path / "out", ask, TtsFolders(), 1)
    assert [path.name for path in folder.iterdir()] == ["wav.scp"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_composing_goes_on_after_the_last_shard(data: Path, toy_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_SCENES", 2)
    kept, composed, write_wav = made(data, toy_program, **MANY), [], module.write_wav
    whole = files_of(kept)
    shutil.rmtree(kept)

    def write(path, wav, hz):
        if len(composed) == 5:
            raise KeyboardInterrupt
        composed.append(path)
        write_wav(path, wav, hz)

    monkeypatch.setattr(module, "write_wav", write)
    with pytest.raises(KeyboardInterrupt):
        made(data, toy_program, **MANY)
    composed.clear()
    monkeypatch.setattr(module, "write_wav", lambda path, wav, hz: composed.append(path) or write_wav(path, wav, hz))
    made(data, toy_program, **MANY)
    assert files_of(kept) == whole and len(composed) == 3 + 8 - 4, "two shards of two were whole"


@pytest.mark.parametrize("change", ["seed", "sound", "wav"])
def test_a_shard_of_other_inputs_is_composed_again(
    data: Path, toy_program: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("freeze_omni.dialogues.make.forget_shards", lambda folder: None)
    out, composed, write_wav = made(data, toy_program, **MANY), [], module.write_wav
    monkeypatch.setattr(module, "write_wav", lambda path, wav, hz: composed.append(path) or write_wav(path, wav, hz))
    made(data, toy_program, **MANY)
    assert not composed
    if change == "sound":
        for path in read_table(data / "asr/wav.scp").values():
            os.utime(path, (1, 1))
    elif change == "wav":
        next((out / "wav").iterdir()).unlink()
    config = {**CONFIG, "sets": {"train": {**CONFIG["sets"]["train"], **MANY}}, "seed": int(change == "seed")}
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    make_dialogues(build(DialogueConfig, config), data, data / "out", ask, folders, 1)
    assert len(composed) == 3 + 8


def test_memory_does_not_grow_with_the_scenes(data: Path, toy_program: str) -> None:
    peaks = []
    for count in (1, 40):
        tracemalloc.start()
        made(data, toy_program, scenes={"complete": count})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3e6, "40 scenes have about 8 MB of samples"


@pytest.mark.processes
def test_processes_compose_the_same(data: Path, toy_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_SCENES", 4)
    folders = TtsFolders(cache=str(data / "cache"), program=toy_program)
    for name, nj in (("one", 1), ("two", 2)):
        make_dialogues(build(DialogueConfig, CONFIG), data, data / name, ask, folders, nj)
    one, two = (files_of(data / name / "train") for name in ("one", "two"))
    for name in ("wav.scp", "answer_wav.scp"):  # paths
        one.pop(name), two.pop(name)
    assert one == two


def test_an_array_of_jobs_makes_the_same_sets(dialogues: Path, toy_program: str, monkeypatch) -> None:
    """Two jobs, in turns: neither goes on before the other has spoken; rounds, scenes and sounds are those of one."""
    monkeypatch.setattr(module, "SHARD_SCENES", 2)
    one = {**CONFIG["sets"]["train"], "rounds": 3, "answer_words": 0}
    config = build(DialogueConfig, {**CONFIG, "sets": {"train": one, "more": {**one, "scenes": {"noise": 3}}}})
    whole, parts, texts = dialogues / "out", dialogues / "parts", []

    def make(output: Path, part: Part = WHOLE, cache: str = "cache") -> None:
        folders = TtsFolders(cache=str(dialogues / cache), program=toy_program)
        make_dialogues(config, dialogues, output, ask, folders, 1, part=part)

    make(whole)
    with pytest.raises(LeftToOthers, match="spoken answers"):
        make(parts, Part(1, 2), "other")
    for number in (2, 1):
        make(parts, Part(number, 2), "other")
        assert not (parts / "train/wav.scp").exists()
    monkeypatch.setattr(module, "_compose_one", None)  # merging composes nothing
    make(parts, cache="other")
    for name in ("train", "more"):
        files = sorted(path.name for path in (whole / name).iterdir() if path.is_file())
        assert files == sorted(path.name for path in (parts / name).iterdir() if path.is_file())
        for file in files:
            texts = [(folder / name / file).read_text().replace(f"{folder}/", "") for folder in (whole, parts)]
            texts = [text.replace("/other/", "/cache/") for text in texts]
            assert texts[0] == texts[1], file
        for wav in (whole / name / "wav").iterdir():
            assert wav.read_bytes() == (parts / name / "wav" / wav.name).read_bytes()
