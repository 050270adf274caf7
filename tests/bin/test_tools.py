"""Stages 11 to 13 on a toy: decode, score, write results, answer; twice, and after a kill."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.bin import answer, main, results, score
from freeze_omni.bin import decode as decoding
from freeze_omni.eval import runner
from freeze_omni.eval.duplex.compose import ComposeConfig, Composer, Pools, read_sounds
from freeze_omni.eval.results import KEYS
from freeze_omni.eval.runner import read_records
from freeze_omni.pack import save
from tests.toy import toy_system

DECODE = """
asr: {utterances: 3, chunk_sizes: [4, 0], batch: 2, llm: true, llm_utterances: 2, llm_max_tokens: 4}
qa: {questions: 2, batch: 2, max_new_tokens: 4}
tts: {sentences: 2, top_k: [1, 2], batch: 2, draws: 2, tokens_per_pass: [1]}
codec: {utterances: 2}
states: {scenes: 3, batch: 2}
duplex: {max_new_tokens: 4, pace: 0}
latency: {questions: 1, tail_s: 0.4, max_new_tokens: 6}
answers:
  generation: {max_new_tokens: 6}
  sampling: {top_k: 2, max_tokens: 12}
"""


class ToyJudge:
    """Hears every clip as the same word."""

    def __init__(self, *_):
        pass

    def transcribe(self, clips):
        return {key: "hello" for key in clips}


def sound(path, seconds, hz=16000, seed=0, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wav = 0.1 * np.random.default_rng(seed).standard_normal((int(seconds * hz), channels))
    soundfile.write(path, wav.squeeze(), hz)
    return path


def table(path, rows):
    path.write_text("".join(f"{key} {value}\n" for key, value in sorted(rows.items())))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A packed toy model, a speech set and a dialogue set."""
    folder = tmp_path_factory.mktemp("work")
    adapter = AdapterChoice(conv=ConvAdapterConfig())
    save(toy_system(folder / "llm", adapter=adapter, task_tokens=2), folder / "pack")
    keys = ["u1", "u2", "u3"]
    speech, dialogue = folder / "asr_test_seen", folder / "qa_test"
    for number, key in enumerate(keys):
        sound(folder / "wav" / f"{key}.wav", 0.7 + 0.2 * number, seed=number)
        sound(folder / "wav24" / f"{key}.wav", 0.4, 24000, seed=number)
    for data in (speech, dialogue):
        data.mkdir()
        table(data / "wav.scp", {key: folder / "wav" / f"{key}.wav" for key in keys})
        table(data / "text", {key: f"the cow says moo {key}" for key in keys})
    table(dialogue / "answer", {"u1": "The cow says moo.", "u2": "Paris, of course."})
    table(dialogue / "answer_wav.scp", {key: folder / "wav24" / f"{key}.wav" for key in keys[:2]})
    table(dialogue / "states", {"u1": "0 0 0 1", "u2": "0 0 0 1 -1", "u3": "0 0 0 1 -1 -1"})
    scene = [{"kind": "complete", "start_s": 0.0, "end_s": 0.4}]
    pauses = [{"start_s": 0.1, "end_s": 0.2}]
    with open(dialogue / "scene", "w") as file:
        file.writelines(json.dumps({"id": key, "segments": scene, "pauses": pauses}) + "\n" for key in keys)
    with open(dialogue / "questions.jsonl", "w") as file:
        file.writelines(json.dumps({"id": key, "answers": ["moo"]}) + "\n" for key in keys)
    table(dialogue / "utt2question", {"u1": "u1", "u2": "u2"})
    (folder / "decode.yaml").write_text(DECODE)
    short = ComposeConfig(lead_s=(0.1, 0.1), tail_s=0.4)
    Composer(Pools(read_sounds(speech)), short).write(folder / "duplex_scenes", ["turn"], 1, 1)
    return folder


def decode(work, root="root", *more):
    dialogue = str(work / "qa_test")
    sets = ["--asr", str(work / "asr_test_seen"), "--qa", dialogue, "--scenes", dialogue, "--tts", dialogue]
    sets += ["--cascade", "--copies", dialogue, "--duplex", str(work / "duplex_scenes")]
    config = ["--config", str(work / "decode.yaml")]
    decoding.main(["all", "--model", str(work / "pack"), "--root", str(work / root), *config, *sets, *more])


@pytest.fixture(scope="module")
def decoded(work):
    decode(work)
    return work / "root"


@pytest.fixture
def scored(work, decoded, monkeypatch, capsys):
    monkeypatch.setattr("freeze_omni.eval.judge.Judge", ToyJudge)
    seconds = work / "stages"
    seconds.mkdir(exist_ok=True)
    (seconds / "seconds.1").write_text("60\n")
    score.main(
        ["--root", f"conv={decoded}", "--model", f"conv={work / 'pack'}", "--scale", "tiny", "--toy"]
        + ["--output", str(work / "tiny.json"), "--config", str(work / "decode.yaml")]
        + ["--judge", str(work / "judge"), "--stage_seconds", str(seconds), "--fact", "voices=two"]
    )
    return json.loads((work / "tiny.json").read_text()), capsys.readouterr().out


def test_decoding_writes_kaldi_texts_and_records(decoded):
    for name, count in (("text", 3), ("text.chunk4", 3), ("text.chunk_inf", 3), ("text.llm", 2)):
        assert len((decoded / "asr_asr_test_seen" / name).read_text().splitlines()) == count
    states = [json.loads(line) for line in (decoded / "states" / "records.jsonl").open()]
    assert {record["id"]: len(record["probabilities"]) for record in states} == {"u1": 4, "u2": 5, "u3": 6}
    assert sorted(path.name for path in (decoded / "tts" / "wav").iterdir()) == sorted(
        [f"{prefix}_top{rest}" for prefix in ("prefix", "no_prefix") for rest in ("1", "2", "2_draw2")]
        + ["served_pass1", "served_pass1_draw2"]
    )
    assert json.loads((decoded / "qa" / "decode.json").read_text())["commit"]


def test_decoding_again_loads_no_model_and_a_killed_run_goes_on(work, decoded, monkeypatch):
    records = decoded / "states" / "records.jsonl"
    whole = records.read_text()
    loads = []
    load = runner.load_model
    monkeypatch.setattr(runner, "load_model", lambda *a: loads.append(a) or load(*a))
    decode(work)
    assert not loads and records.read_text() == whole
    lines = whole.splitlines(keepends=True)
    records.write_text("".join(lines[:1]) + lines[1][:20])  # killed in the middle of a line
    decode(work)
    assert len(loads) == 1 and sorted(records.read_text().splitlines()) == sorted(whole.splitlines())


def test_an_array_of_jobs_decodes_the_same(work, decoded, monkeypatch):
    """What is timed waits for the job that merges, and nothing else does."""
    for number in (2, 1):
        decode(work, "array", "--part", f"{number}/2")
        assert not list((work / "array").glob("*/decode.json"))
    loads, load = [], runner.load_model
    monkeypatch.setattr(runner, "load_model", lambda *a: loads.append(a) or load(*a))
    decode(work, "array")
    assert len(loads) == 1, "latency"
    for name in ("asr_asr_test_seen", "qa", "states", "codec", "tts"):
        found = [list(read_records(root / name / "records.jsonl").values()) for root in (decoded, work / "array")]
        for record in (*found[0], *found[1]):
            record.pop("took_s", None)
        assert found[0] == found[1], name
        assert (decoded / name / "text").read_text() == (work / "array" / name / "text").read_text()
        assert not (work / "array" / name / ".parts").exists()
    for wav in (decoded / "tts/wav").glob("*/*.wav"):
        assert wav.read_bytes() == (work / "array" / wav.relative_to(decoded)).read_bytes()


def test_a_subject_alone_and_only_some_of_all(work, decoded, tmp_path):
    words = ["--model", str(work / "pack"), "--config", str(work / "decode.yaml")]
    dialogue = str(work / "qa_test")
    decoding.main(["states", *words, "--data", dialogue, "--output", str(tmp_path / "alone")])
    assert (tmp_path / "alone" / "text").read_text() == (decoded / "states" / "text").read_text()
    sets = ["--asr", str(work / "asr_test_seen"), "--qa", dialogue, "--tts", dialogue]
    decoding.main([*words, "--root", str(tmp_path / "some"), *sets, "--only", "asr", "qa"])
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["asr_asr_test_seen", "qa"]


def test_scoring_gives_every_key(scored):
    found, printed = scored
    assert set(KEYS) <= set(found)
    missing = [key for key in KEYS if found[key] is None]
    other_sets = {"qa_ratio_unseen", "llama_questions_wer", "llama_questions_ratio", "webquestions_ratio"}
    other_sets |= {"speech_wer_streamed_open"}
    assert set(missing) <= {
        "asr_wer_unseen",
        "asr_wer_real",
        "state_false_other",
        "qa_ratio",
        "qa_ratio_cascade",
        "qa_ratio_continuous",
        "qa_ratio_conv",
        "asr_wer_llm_seen",
        "answer_wer_to_text",
        "dnsmos_streamed",
    } | other_sets | {key for key in KEYS if key.startswith("closed_")}
    assert all(key in printed for key in KEYS)
    assert found["wall_min"] >= 1.0 and found["facts"] == {"voices": "two", "judge": "judge"}
    assert found["sizes"]["conv"]["parameters"]["encoder"] > 0
    assert found["provenance"]["machine"]["cores"] >= 1
    speech = found["models"]["conv"]["speech"]
    assert speech["prefix_top1"]["percent"] > 0 and "draws" not in speech["prefix_top1"]
    assert speech["prefix_top2"]["draws"] == 2 and speech["prefix_top2"]["utterances"] == 4
    assert speech["served_pass1"]["draws"] == 2 and speech["served_pass1"]["real_time_factor"] > 0
    assert found["prefix_gain"] == 0.0 and found["models"]["conv"]["prefix"]["top_k"] == [1, 2]
    assert "cascade" in found["models"]["conv"]["qa"]
    assert found["models"]["conv"]["duplex"]["kinds"]["turn"]["scenes"] == 1


def test_results_are_rendered_with_pictures_and_a_toy_says_so(work, scored, decoded):
    arguments = ["--results", str(work / "tiny.json"), "--output", str(work / "RESULTS.md")]
    results.main([*arguments, "--root", str(decoded), "--title", "Toy"])
    text = (work / "RESULTS.md").read_text()
    assert "is a toy" in text and "The paper" not in text
    for heading in ("Speech input", "Speech output", "Turn taking", "Talking at once", "Latency", "Sizes"):
        assert f"## {heading}" in text
    assert (work / "tiny" / "states.png").stat().st_size > 5000
    assert "![WER by chunk size](tiny/chunk_wer.png)" in text


def test_answer_prints_and_writes(work, capsys):
    arguments = ["--model", str(work / "pack"), "--input", str(sound(work / "q.wav", 0.5, 8000, channels=2))]
    try:  # a toy may hear no word, and then there is nothing to answer
        answer.main([*arguments, "--output", str(work / "a.wav"), "--json"])
        assert soundfile.info(work / "a.wav").samplerate == 24000
    except SystemExit as stop:
        assert stop.code == answer.NO_ANSWER
    printed = capsys.readouterr()
    assert "2 channels mixed to one" in printed.err and "resampled from 8000 to 16000 Hz" in printed.err
    assert {"transcript", "states", "answer", "first_audio_s"} <= set(json.loads(printed.out))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("hello"), "cannot be read"),
        (lambda path: soundfile.write(path, np.zeros(16000), 16000), "silent"),
        (lambda path: path.write_bytes(sound(path, 1).read_bytes()[:9000]), "truncated"),
    ],
)
def test_sounds_that_cannot_be_used(work, tmp_path, make, message):
    make(tmp_path / "bad.wav")
    with pytest.raises(SystemExit, match=message) as stop:
        answer.main(["--model", str(work / "pack"), "--input", str(tmp_path / "bad.wav")])
    assert str(stop.value).startswith("answer: error: ") and "bad.wav" in str(stop.value)


def test_a_model_that_is_none_is_one_line(work, tmp_path):
    for model in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SystemExit, match="answer: error: .*"):
            answer.main(["--model", str(model), "--input", str(sound(tmp_path / "q.wav", 1))])


@pytest.mark.parametrize("broken", ["llm/config.json", "llm/model.safetensors", "units/units.json"])
def test_a_model_with_a_broken_file_is_one_line(work, tmp_path, broken):
    folder = shutil.copytree(work / "pack", tmp_path / "pack")
    (folder / broken).write_bytes((folder / broken).read_bytes()[:50])
    with pytest.raises(SystemExit, match="answer: error: .*pack") as stop:
        answer.main(["--model", str(folder), "--input", str(sound(tmp_path / "q.wav", 1))])
    assert "\n" not in stop.value.code


def test_a_wrong_key_in_the_config_is_one_line(work, tmp_path):
    (tmp_path / "decode.yaml").write_text("asr: {utterence: 3}\n")
    options = ["--model", str(work / "pack"), "--root", str(tmp_path), "--asr", str(work / "asr_test_seen")]
    with pytest.raises(SystemExit, match="did you mean 'utterances'"):
        decoding.main([*options, "--config", str(tmp_path / "decode.yaml")])


def test_the_command_lists_what_it_has(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="0"):
        main.main(["--help"])
    told = capsys.readouterr().out
    assert all(f"\n{task}:\n" in told for task in main.TASKS) and all(f"\n  {name} " in told for name in main.COMMANDS)
    with pytest.raises(SystemExit, match="no command 'fly'"):
        main.main(["fly"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("freeze-omni export-", {"export-lora", "export-released"}),
        ("freeze-omni serve --tls", {"--tls_cert", "--tls_key", "--tls_self_made"}),
        ("freeze-omni serve --model eg", {""}),
    ],
)
def test_a_shell_completes_commands_and_options(line, expected, tmp_path):
    import os
    import subprocess

    pytest.importorskip("argcomplete")
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    asked["_ARGCOMPLETE_STDOUT_FILENAME"] = str(tmp_path / "found")
    subprocess.run([sys.executable, "-m", "freeze_omni.bin.main"], env={**os.environ, **asked}, check=True)
    found = (tmp_path / "found").read_text() if (tmp_path / "found").exists() else ""
    assert set(found.strip().split(" ")) == expected


def test_help_is_quick():
    """Neither torch nor transformers is imported for the list of commands."""
    import subprocess

    code = (
        "import sys; from freeze_omni.bin import main\n"
        "try: main.main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
