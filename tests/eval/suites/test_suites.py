"""Public suites: their inputs are read, what is written is in their forms, and other forms are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni import pack
from freeze_omni.bin import run_suite as command
from freeze_omni.data.audio import write_wav
from freeze_omni.eval.judge import Word
from freeze_omni.eval.question import converse
from freeze_omni.eval.suites import full_duplex_bench
from freeze_omni.eval.suites.base import Answer, SuiteError
from freeze_omni.eval.suites.run import SUITES as KNOWN
from tests.data.corpora.clips import clip
from tests.session.model import toy_model

WORDS = ("Yes.", "Go on.")


def uro_bench(root: Path) -> Path:
    folder = root / "AlpacaEval"
    lines = []
    for i in range(2):
        clip(i).write(folder / "audio" / f"{i}.wav")
        target = ["One", "Two"] if i else "One"
        lines.append({"id": i, "source_wav": f"audio/{i}.wav", "source_text": f"Question {i}?", "target_text": target})
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def voicebench(root: Path) -> Path:
    import datasets

    cells = [{"path": f"{i}.wav", "bytes": clip(i).write(root / f"{i}.wav").read_bytes()} for i in range(2)]
    rows = {"audio": cells, "prompt": ["What?", "Who?"], "reference": ["This", "She"]}
    table = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    table.save_to_disk(str(root / "sd-qa"))
    return root / "sd-qa"


def openaudiobench(root: Path) -> Path:
    folder = root / "llama_questions"
    for i in range(2):
        clip(i).write(folder / "audios" / f"{i}.mp3", 32000, format="MP3")
    rows = "".join(f'"Question {i}, please?",Paris,{i}.mp3\n' for i in range(2))
    (folder / "llama_questions.csv").write_text("Questions,Answer,audio_filename\n" + rows)
    return folder


def big_bench_audio(root: Path) -> Path:
    lines = []
    for i in range(2):
        clip(i).write(root / "data" / f"question_{i}.mp3", 32000, format="MP3")
        lines.append({"category": "navigate", "official_answer": "No", "file_name": f"data/question_{i}.mp3", "id": i})
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def versa(root: Path) -> Path:
    wavs = [clip(i).write(root / f"{i}.wav") for i in range(2)]
    (root / "wav.scp").write_text("".join(f"{i} {wav}\n" for i, wav in enumerate(wavs)))
    return root


def duplex(root: Path) -> Path:
    clip(2).write(root / "candor_turn_taking" / "1" / "input.wav")
    clip(3).write(root / "user_interruption" / "2" / "input.wav")
    meta = [{"context": "a", "interrupt": "b", "timestamp": [0.2, 0.5]}]
    (root / "user_interruption" / "2" / "interrupt.json").write_text(json.dumps(meta))
    return root


SUITES = {
    "uro_bench": (uro_bench, ("0000", "0001")),
    "voicebench": (voicebench, ("00000", "00001")),
    "openaudiobench": (openaudiobench, ("00000", "00001")),
    "big_bench_audio": (big_bench_audio, ("0", "1")),
    "versa": (versa, ("0", "1")),
}


@pytest.fixture
def theirs(tmp_path):
    """A folder with the answers of another system, text and sound, by the given ids."""

    def make(ids: tuple[str, ...]) -> Path:
        folder = tmp_path / "theirs"
        for key, words in zip(ids, WORDS, strict=True):
            (folder).mkdir(exist_ok=True)
            (folder / f"{key}.txt").write_text(words)
            clip(0).write(folder / f"{key}.wav", 24000)
        return folder

    return make


@pytest.mark.parametrize("name", SUITES)
def test_outputs_of_another_system_get_the_suites_form(name, theirs, tmp_path, capsys):
    make, ids = SUITES[name]
    (tmp_path / "data").mkdir()
    data, output = make(tmp_path / "data"), tmp_path / "out" / "sd-qa"
    command.main([name, "--data", str(data), "--outputs", str(theirs(ids)), "--output", str(output)])
    assert f"2 answers, in the form of {name}" in capsys.readouterr().out
    suite = KNOWN[name]
    items = suite.read(data, tmp_path / "work")
    assert [item.id for item in items] == list(ids) and all(Path(item.sound).is_file() for item in items)
    for path in [*output.glob("*.jsonl"), *output.glob("text")]:
        path.write_text(path.read_text().split("\n")[0] + "\n")  # a line is lost
    with pytest.raises(SuiteError):
        suite.check(output, items)


def test_voicebench_keeps_the_fields_and_adds_the_response(theirs, tmp_path):
    (tmp_path / "data").mkdir()
    data, output = voicebench(tmp_path / "data"), tmp_path / "out" / "sd-qa"
    command.main(
        ["voicebench", "--data", str(data), "--outputs", str(theirs(("00000", "00001"))), "--output", str(output)]
    )
    rows = [json.loads(line) for line in (output / "freeze-omni-sd-qa-test-audio.jsonl").read_text().splitlines()]
    assert rows[1] == {"prompt": "Who?", "reference": "She", "response": "Go on."}


def test_uro_bench_has_its_four_outputs(theirs, tmp_path):
    data, output = uro_bench(tmp_path / "data"), tmp_path / "out"
    command.main(
        ["uro_bench", "--data", str(data), "--outputs", str(theirs(("0000", "0001"))), "--output", str(output)]
    )
    assert (output / "pred_text.jsonl").read_text() == '{"0000": "Yes."}\n{"0001": "Go on."}\n'
    assert json.loads((output / "gt_text.jsonl").read_text().splitlines()[1]) == {"0001": "One / Two"}
    assert soundfile.info(output / "audio" / "0001.wav").samplerate == 24000
    (output / "audio" / "7.wav").write_bytes((output / "audio" / "0001.wav").read_bytes())
    with pytest.raises(SuiteError, match="not named by the number"):
        KNOWN["uro_bench"].check(output, KNOWN["uro_bench"].read(data, output))


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("uro_bench", "test.jsonl", '{"id": 1, "num_round": 2}', "test.jsonl:1: no 'source_wav'"),
        ("uro_bench", "test.jsonl", '{"id": 1, "dialogue": [{"round": 0}]}', "test.jsonl:1: no 'source_wav'"),
        ("uro_bench", "test.jsonl", "{", "test.jsonl:1: no JSON object"),
        ("openaudiobench", "data.csv", "a,b\n1,2\n", "no rows with 'audio_filename'"),
        ("big_bench_audio", "metadata.jsonl", '{"id": 1}', "metadata.jsonl:1: no 'category'"),
        ("full_duplex_bench", "x", "", "no <id>/input.wav"),
    ],
)
def test_other_inputs_are_told(name, file, content, message, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / file).write_text(content)
    with pytest.raises(SystemExit, match=message):
        command.main([name, "--data", str(data), "--outputs", str(tmp_path), "--output", str(tmp_path / "out")])


def test_a_packed_model_answers_a_suite_and_goes_on(tmp_path, capsys):
    model = toy_model(tmp_path)
    folder = pack.save(toy_of(model), tmp_path / "pack", copy_llm=False)
    data, output = uro_bench(tmp_path / "data"), tmp_path / "out"
    words = ["uro_bench", "--data", str(data), "--model", str(folder), "--output", str(output), "--max_new_tokens", "4"]
    command.main(words)
    first = (output / "work/records.jsonl").read_text()
    command.main(words)
    assert (output / "work/records.jsonl").read_text() == first
    assert len((output / "pred_text.jsonl").read_text().splitlines()) == 2


def toy_of(model):
    """The toy with its own state head: a scripted one is no part of a pack."""
    from freeze_omni.duplex.state_head import StateHead

    model.state_head = StateHead(model.config.state_head, model.llm.hidden_size, model.encoder.output_size)
    return model


def test_answers_lie_on_the_time_line_of_the_input(tmp_path):
    """A scripted head takes the turn at the fourth chunk: silence before, sound after, as long as the input."""
    model = toy_model(tmp_path)
    model.state_head.script = {3: 1}
    sound = (0.1 * np.random.default_rng(0).standard_normal(16000 * 6)).astype(np.float32)
    line = converse(model, sound)
    assert len(line.wav) == 24000 * 6 and line.text
    start = line.starts_s[0]
    assert start >= 4 * 0.16
    assert not line.wav[: round(start * 24000)].any()
    assert line.wav[round(start * 24000) :].any()


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize(("shift", "told"), [(0, ""), (1, "its ids count from 1 to 2, the test set's from 0 to 1")])
def test_a_number_is_the_same_id_in_every_suite(name, shift, told, theirs, tmp_path, capsys):
    """Of however many digits; numbers that count from 1 would score every answer against the next question."""
    make, _ = SUITES[name]
    (tmp_path / "data").mkdir()
    data, output = make(tmp_path / "data"), tmp_path / "out" / "sd-qa"
    outputs = theirs((f"00{shift}", f"00{shift + 1}"))
    words = [name, "--data", str(data), "--outputs", str(outputs), "--output", str(output)]
    if told:
        with pytest.raises(SystemExit, match=told):
            command.main(words)
        return
    command.main(words)
    assert "missing" not in capsys.readouterr().out
    found = "".join(path.read_text() for path in [*output.glob("*.jsonl"), *output.glob("text")])
    assert found.index("Yes.") < found.index("Go on.")


def test_an_answer_that_is_missing_is_told(theirs, tmp_path, capsys):
    data, outputs = uro_bench(tmp_path / "data"), theirs(("0000", "0001"))
    (outputs / "0001.txt").unlink()
    command.main(["uro_bench", "--data", str(data), "--outputs", str(outputs), "--output", str(tmp_path / "out")])
    assert f"texts of {outputs}: 1 of 2 are missing, as 0001: counted as empty" in capsys.readouterr().out
    (outputs / "0000.txt").unlink()
    command.main(["uro_bench", "--data", str(data), "--outputs", str(outputs), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="no `text`"):  # a suite of texts alone takes no folder of sounds
        words = ["--data", str(openaudiobench(tmp_path / "o")), "--outputs", str(outputs)]
        command.main(["openaudiobench", *words, "--output", str(tmp_path / "out2")])


def test_versa_reads_a_line_with_words_for_each_sound(theirs, tmp_path):
    (tmp_path / "data").mkdir()
    data, outputs, out = versa(tmp_path / "data"), theirs(("0", "1")), tmp_path / "out"
    words = ["versa", "--data", str(data), "--outputs", str(outputs), "--output", str(out)]
    (outputs / "1.txt").write_text("Go on.\nOr\u2028stop.\n", encoding="utf-8")
    command.main(words)
    assert (out / "text").read_text() == "0 Yes.\n1 Go on. Or stop.\n"
    (outputs / "1.txt").write_text("\n")
    with pytest.raises(SystemExit, match="text:2: 1 has no value"):
        command.main(words)


def test_sounds_of_any_form_become_wav_files(tmp_path):
    data, out = uro_bench(tmp_path / "data"), tmp_path / "out"
    for i in range(2):
        clip(i).write(tmp_path / f"theirs/{i}.mp3", 32000, format="MP3")
    command.main(["uro_bench", "--data", str(data), "--outputs", str(tmp_path / "theirs"), "--output", str(out)])
    assert {soundfile.info(path).format for path in (out / "audio").glob("*.wav")} == {"WAV"}


@pytest.mark.parametrize(
    ("content", "end_s"),
    [
        ([{"timestamp": [0.2, 0.5]}], 0.5),
        ([{"timestamp": [0.4]}], None),
        ([{"timestamp": [0.4, 0.1]}], None),
        ([], None),
        ([{"timestamp": [0, float("nan")]}], None),
    ],
)
def test_the_interruption_of_full_duplex_bench(content, end_s, tmp_path):
    folder = tmp_path / "user_interruption" / "1"
    clip(3).write(folder / "input.wav")
    (folder / "interrupt.json").write_text(json.dumps(content))
    if end_s is None:
        with pytest.raises(SuiteError, match=r"interrupt.json: expected .*timestamp.*; fetch it again"):
            full_duplex_bench.read(tmp_path, tmp_path)
    else:
        (item,) = full_duplex_bench.read(tmp_path, tmp_path)
        assert item.fields["begin_s"] == end_s


def test_a_sample_of_version_1_5_has_four_sounds_with_words_and_its_files(tmp_path):
    """Its behaviour script compares all four; its timing script wants input.wav beside output.wav."""
    folder, out = tmp_path / "data/user_interruption/7", tmp_path / "out"
    for name in ("input", "clean_input", "output"):  # an output that is published as an example is not linked
        clip(3).write(folder / f"{name}.wav")
    (folder / "metadata.json").write_text('{"timestamps": [0.1, 0.4]}')
    (folder / "output.json").write_text("theirs")
    items = full_duplex_bench.read(tmp_path / "data", tmp_path)
    assert [item.id for item in items] == ["user_interruption/7", "user_interruption/7/clean"]
    answers = {item.id: Answer("", str(clip(3).write(tmp_path / f"{n}.wav"))) for n, item in enumerate(items)}
    full_duplex_bench.write(out, items, answers, "name")
    here = out / "user_interruption/7"
    assert not (here / "output.json").exists() and json.loads((here / "metadata.json").read_text())
    full_duplex_bench.transcribe(out, items, lambda wav: [Word(" hello", 0.1, 0.3)])
    full_duplex_bench.check(out, items)
    words = {path.name for path in here.glob("*.json")} - {"metadata.json"}
    assert words == {"input.json", "clean_input.json", "output.json", "clean_output.json"}
    assert (folder / "output.json").read_text() == "theirs", "the published files stay as they are"
    assert json.loads((here / "output.json").read_text())["chunks"][0]["timestamp"] == [0.1, 0.3], "the whole answer"


def test_full_duplex_bench_in_time_with_its_words(tmp_path):
    data, output = duplex(tmp_path / "data"), tmp_path / "out"
    suite = full_duplex_bench
    items = suite.read(data, tmp_path)
    assert [item.id for item in items] == ["candor_turn_taking/1", "user_interruption/2"]
    for item in items:
        samples = round(soundfile.info(item.sound).duration * 24000)
        write_wav(output / item.id / "output.wav", np.full(samples, 0.1, np.float32), 24000)
    heard: list[int] = []

    def words(wav: np.ndarray) -> list[Word]:
        heard.append(len(wav))
        return [Word(" hello", 0.1, 0.3), Word(" there", 0.4, 0.6)]

    suite.transcribe(output, items, words)
    suite.check(output, items)
    plain, after = (json.loads((output / item.id / "output.json").read_text()) for item in items)
    assert plain == {
        "text": "hello there",
        "chunks": [{"text": "hello", "timestamp": [0.1, 0.3]}, {"text": "there", "timestamp": [0.4, 0.6]}],
    }
    assert after["chunks"][0]["timestamp"] == [0.6, 0.8], "after the interruption, on the whole time line"
    assert heard[1] == pytest.approx(16000 * (soundfile.info(items[1].sound).duration - 0.5), abs=2)
    write_wav(output / items[0].id / "output.wav", np.full(2400, 0.1, np.float32), 24000)
    with pytest.raises(SuiteError, match="not in time with it"):
        suite.check(output, items)
