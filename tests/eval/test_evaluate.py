"""`freeze-omni eval` on folders of outputs, on an encoder's checkpoint and on a packed model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from freeze_omni import pack
from freeze_omni.bin import evaluate
from freeze_omni.config import as_mapping
from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.eval import asr, batch
from freeze_omni.eval.batch import hear
from freeze_omni.eval.config import AsrDecodeConfig
from freeze_omni.eval.states import as_probabilities, beginnings
from freeze_omni.llm.tuned import PART, LearnedPrefixConfig, LlmTuningConfig
from freeze_omni.llm.units import CtcUnits
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.system import FreezeOmni, SystemConfig
from tests.toy import toy_system

TEXTS = {"a": "the cat sat", "b": "two dogs ran away"}


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "test_clean"
    rng = np.random.default_rng(0)
    wavs = {key: folder / f"{key}.wav" for key in TEXTS}
    for path in wavs.values():
        write_wav(path, (0.1 * rng.standard_normal(16000)).astype(np.float32), 16000)
    write_set(folder, wavs, TEXTS, dict.fromkeys(wavs, "spk"))
    return folder


def run(tmp_path: Path, *words: object) -> dict:
    """The command; returns the figures that it wrote."""
    output = tmp_path / "out"
    evaluate.main([*map(str, words), "--output", str(output)])
    written = [path for path in output.glob("*.json")]
    assert len(written) == 1
    found = json.loads(written[0].read_text())
    assert found["provenance"]["command"] and written[0].with_suffix(".md").is_file()
    return found


def test_transcripts_of_another_system(data, tmp_path, capsys):
    (tmp_path / "hyp").mkdir()
    (tmp_path / "hyp/text").write_text("a the cat sits\nc what\n")
    found = run(tmp_path, "asr", "--data", data, "--outputs", tmp_path / "hyp")
    figures = found["figures"]["asr"]["given"]
    assert (figures["substitutions"], figures["deletions"], figures["words"]) == (1, 4, 7)
    assert figures["low"] <= figures["percent"] <= figures["high"]
    out = capsys.readouterr().out
    assert "3.24 | 4.05 | 3.82" in out, "the paper's test-clean stands next to it"
    assert "1 of 2 are missing, as b" in out and "1 are not of the test set, as c" in out


@pytest.mark.parametrize("form", ["jsonl", "txt", "kaldi file"])
def test_forms_of_texts(form, data, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    if form == "jsonl":
        folder = folder / "x.jsonl"
        folder.write_text("".join(json.dumps({"id": key, "prediction": text}) + "\n" for key, text in TEXTS.items()))
    elif form == "txt":
        for key, text in TEXTS.items():
            (folder / f"{key}.txt").write_text(text + "\n")
    else:
        folder = folder / "hyp"
        folder.write_text("".join(f"{key} {text}\n" for key, text in TEXTS.items()))
    assert run(tmp_path, "asr", "--data", data, "--outputs", folder)["figures"]["asr"]["given"]["percent"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a"}', "x.jsonl: any of id may be the output; name its field with --field output=NAME"),
        ('{"id": "a", "text": ""}\n{"id": "a", "text": ""}', "x.jsonl:2: the id a comes twice"),
        ('{"id": "z", "text": ""}', "none of its ids"),
    ],
)
def test_outputs_that_cannot_be_used_are_told(content, message, data, tmp_path):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, "asr", "--data", data, "--outputs", tmp_path / "x.jsonl")


def test_mandarin_is_scored_by_signs(tmp_path):
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh/text").write_text("a 今天GOOD天气。\n", encoding="utf-8")
    (tmp_path / "hyp").write_text("a 今天good大气\n", encoding="utf-8")
    options = ("--normaliser", "chinese")
    figures = run(tmp_path, "asr", "--data", tmp_path / "zh", "--outputs", tmp_path / "hyp", *options)["figures"]
    assert figures["asr"]["given"]["words"] == 5 and figures["asr"]["given"]["substitutions"] == 1


def test_an_encoder_alone_is_decoded_whole(data, tmp_path):
    """The checkpoint of stage 1.1 and its config.yaml give the transcripts of the model that was saved."""
    config = EncoderConfig(size=16, layers=1, heads=2, ffn_size=32)
    units = CtcUnits.from_characters(list(TEXTS.values()))
    units.save(tmp_path / "units")
    torch.manual_seed(3)
    parts = SystemConfig(encoder=config, ctc_units=len(units), parts=("encoder", "ctc"))
    model = FreezeOmni(parts, units=units)
    folder = tmp_path / "1.1_encoder"
    folder.mkdir()
    torch.save({**model.state_dict(), "spelling.weight": torch.ones(1)}, folder / "ave.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"encoder": as_mapping(config)}}))
    (tmp_path / "decode.yaml").write_text("asr: {utterances: 1, chunk_sizes: [4, 0]}\n")
    words = ("asr", "--data", data, "--model", folder / "ave.pth", "--units", tmp_path / "units")
    figures = run(tmp_path, *words, "--config", tmp_path / "decode.yaml")["figures"]["asr"]
    assert set(figures) == {"chunk4", "chunk_inf"} and figures["chunk4"]["utterances"] == 2, "the limit is lifted"
    sounds = [read_audio(str(data / f"{key}.wav"), 16000)[0] for key in TEXTS]
    written = read_table(tmp_path / "out/asr_test_clean/text.chunk4", need_value=False)
    assert list(written.values()) == batch.texts(model, batch.hear(model, sounds, 4))
    with pytest.raises(SystemExit, match="no such checkpoint"):
        run(tmp_path / "b", "asr", "--data", data, "--model", folder / "no.pth", "--units", tmp_path / "units")


def checkpoint(model, folder: Path, *parts: str) -> Path:
    """A checkpoint of a stage with these parts of a whole model, and its configuration."""
    state = {key: value for key, value in model.state_dict().items() if key.split(".")[0] in parts}
    folder.mkdir()
    torch.save(state, folder / "ave.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": as_mapping(model.config)}))
    return folder / "ave.pth"


@pytest.mark.parametrize("tuning", [None, LlmTuningConfig(prefix=LearnedPrefixConfig())], ids=["frozen", "tuned"])
def test_what_stage_1_2_trains_is_heard_by_the_llm(data, tmp_path, tuning):
    """Encoder, adapter and task tokens of a checkpoint transcribe as those of the whole model."""
    model = toy_system(tmp_path / "llm", task_tokens=3, llm_tuning=tuning)
    model.units.save(tmp_path / "units")
    path = checkpoint(model, tmp_path / "1.2_adapter_ctc", "encoder", "ctc", "adapter", "task_tokens", PART)
    words = ("asr", "--data", data, "--units", tmp_path / "units", "--max_new_tokens", 6)
    run(tmp_path, *words, "--model", path, "--llm", tmp_path / "llm")
    sounds = [read_audio(str(data / f"{key}.wav"), 16000)[0] for key in TEXTS]
    expected = asr.transcribe(model, sounds, None, AsrDecodeConfig())
    written = asr.written_transcripts(model, hear(model, sounds), range(len(sounds)), 6)
    for row, text in zip(expected, written, strict=True):
        row["llm"] = text
    for way in ("llm", "chunk4", "chunk_inf"):
        written = read_table(tmp_path / f"out/asr_test_clean/text.{way}", need_value=False)
        assert list(written.values()) == [row[way] for row in expected] and any(written.values())
    with pytest.raises(SystemExit, match="ave.pth: holds no 'adapter'"):
        other = checkpoint(model, tmp_path / "1.1_encoder", "encoder", "ctc")
        run(tmp_path / "b", *words, "--model", other, "--llm", tmp_path / "llm")


def test_what_stage_2_2_trains_speaks_as_the_whole_model(data, tmp_path, capsys):
    model = toy_system(tmp_path / "llm", sampling=SamplingConfig())  # of parts alone, nothing says how they speak
    voice = data / "a.wav"
    model.set_voice(torch.from_numpy(read_audio(str(voice), 24000)[0]))
    codec = checkpoint(model, tmp_path / "2.1_codec", "codec")
    speech = checkpoint(model, tmp_path / "2.2_speech_decoder", "speech_decoder")
    (tmp_path / "decode.yaml").write_text("tts: {sentences: 1, top_k: [1]}\n")
    words = ("tts", "--data", data, "--config", tmp_path / "decode.yaml")
    parts = ("--model", speech, "--codec", codec, "--llm", tmp_path / "llm", "--voice", voice)
    figures = run(tmp_path / "parts", *words, *parts)["figures"]["tts"]
    assert {name: one["utterances"] for name, one in figures.items()} == {"no_prefix_top1": 2, "copy": 2, "original": 2}
    assert figures["original"]["speech_s"] == pytest.approx(2.0) and figures["no_prefix_top1"]["speech_s"] > 0
    assert "no --judge was given" in capsys.readouterr().out
    run(tmp_path / "whole", *words, "--model", pack.save(model, tmp_path / "pack", copy_llm=False))
    for kind in ("tts_test_clean/wav/no_prefix_top1", "codec_test_clean/wav/copy"):
        paths = [tmp_path / name / "out" / kind / "a.wav" for name in ("parts", "whole")]
        np.testing.assert_array_equal(*(read_audio(str(path), 24000)[0] for path in paths))
    assert set(run(tmp_path / "codec", *words, "--model", codec)["figures"]["tts"]) == {"copy", "original"}
    with pytest.raises(SystemExit, match="needs --codec, --llm and --voice"):
        run(tmp_path / "b", *words, *parts[:4])


def test_a_packed_model_hears_and_answers(data, tmp_path, capsys):
    model = toy_system(tmp_path / "llm")
    folder = pack.save(model, tmp_path / "pack", copy_llm=False)
    asr = run(tmp_path / "1", "asr", "--data", data, "--model", folder)["figures"]["asr"]
    assert asr["chunk4"]["utterances"] == 2
    rows = [
        {"id": key, "question": text, "answers": ["cat"], "kind": "x", "phrasing": "0", "fact": key}
        for key, text in TEXTS.items()
    ]
    (data / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("qa", "--data", data, "--model", folder, "--max_new_tokens", "5")
    qa = run(tmp_path / "2", *words)["figures"]["qa"]
    assert {way: one["questions"] for way, one in qa.items()} == dict.fromkeys(
        ("spoken", "spoken, ended by its own state 1", "its LLM on text"), 2
    )
    assert "cut after 5 tokens" in capsys.readouterr().out


def test_later_rounds_are_asked_too_and_have_their_own_rows(data, tmp_path):
    """Utterances need not have their question's id."""
    first, later = TEXTS
    folder = pack.save(toy_system(tmp_path / "llm"), tmp_path / "pack", copy_llm=False)
    rows = [{"id": key, "question": key, "answers": ["cat"], "kind": "x", "phrasing": "0", "fact": key} for key in "qr"]
    (data / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_table(data / "utt2question", {first: "q", later: "r"})
    write_table(data / "history", {later: json.dumps([["Hi", "Hello."]])})
    words = ("qa", "--data", data, "--model", folder, "--max_new_tokens", "5")
    qa = run(tmp_path / "2", *words)["figures"]["qa"]
    assert qa["spoken"]["questions"] == qa["its LLM on text"]["questions"] == 2
    for way in ("spoken", "its LLM on text"):
        assert [qa[f"{way}, round {number}"]["questions"] for number in (1, 2)] == [1, 1]


def test_spoken_answers_and_the_llm_on_text(tmp_path, capsys):
    rows = [
        {"qId": "w1", "qText": "where is rome?", "answers": ["Italy"]},
        {"qId": "w2", "qText": "b?", "answers": ["Two"]},
    ]
    (tmp_path / "web_questions.json").write_text(json.dumps(rows))
    (tmp_path / "spoken").write_text("w1 It lies in Italy.\nw2 three\n")
    (tmp_path / "text").write_text("w1 italy\nw2 2\n")
    words = ("--outputs", tmp_path / "spoken", "--text_outputs", tmp_path / "text")
    figures = run(tmp_path, "qa", "--data", tmp_path / "web_questions.json", *words)["figures"]["qa"]
    assert figures["spoken"]["accuracy"] == 0.5 and figures["its LLM on text"]["accuracy"] == 1.0
    out = capsys.readouterr().out
    assert "44.73" in out and "45.13" in out and "spoken over text: 0.500" in out


def test_speech_is_heard_by_the_judge(data, tmp_path, monkeypatch):
    """The judge is replaced by one that knows the words; the real one is tested in test_judge.py."""

    class Knowing:
        def __init__(self, folder, config, device):
            assert config.language == "en"

        def transcribe(self, clips):
            return {key: TEXTS[key].replace("sat", "mat") for key in clips}

    monkeypatch.setattr("freeze_omni.eval.judge.Judge", Knowing)
    words = ("tts", "--data", data, "--outputs", data, "--judge", tmp_path)
    figures = run(tmp_path, *words)["figures"]["tts"]["given"]
    assert figures["substitutions"] == 1 and figures["words"] == 7
    with pytest.raises(SystemExit, match="give --judge"):
        run(tmp_path / "b", "tts", "--data", data, "--outputs", data)


@pytest.fixture
def scenes(tmp_path) -> Path:
    """Two scenes of 4.8 s: a question from 1 to 2 s, and a backchannel from 1 to 1.5 s."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    lines = [
        {"id": "q", "kind": "complete", "segments": [{"kind": "complete", "start_s": 1.0, "end_s": 2.0}], "pauses": []},
        {
            "id": "u",
            "kind": "backchannel",
            "segments": [{"kind": "backchannel", "start_s": 1.0, "end_s": 1.5}],
            "pauses": [],
        },
    ]
    (folder / "scene").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "states").write_text("".join(f"{line['id']} {' '.join(['0'] * 30)}\n" for line in lines))
    return folder


def in_time(path: Path, *spans_s: tuple[float, float]) -> None:
    """A sound of 4.8 s that is loud in the spans."""
    wav = np.zeros(int(4.8 * 16000), np.float32)
    for start_s, end_s in spans_s:
        wav[int(start_s * 16000) : int(end_s * 16000)] = 0.3
    write_wav(path, wav, 16000)


def test_taking_turns_by_sound_in_time(scenes, tmp_path):
    in_time(tmp_path / "good/q.wav", (2.5, 3.0), (3.1, 4.0))
    in_time(tmp_path / "good/u.wav")
    good = run(tmp_path / "1", "duplex", "--data", scenes, "--outputs", tmp_path / "good")["figures"]["duplex"]
    assert (good["take"]["share"], good["false_other"]["share"]) == (1.0, 0.0)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/takes").write_text("q 1.3\nu 1.6\n")
    bad = run(tmp_path / "2", "duplex", "--data", scenes, "--outputs", tmp_path / "bad")["figures"]["duplex"]
    assert (bad["take"]["share"], bad["false_other"]["share"]) == (0.0, 1.0)


def test_latency_is_from_the_questions_end_to_the_first_sound(scenes, tmp_path):
    in_time(tmp_path / "theirs/q/output.wav", (2.75, 4.0))
    in_time(tmp_path / "theirs/u/output.wav")
    found = run(tmp_path / "1", "latency", "--data", scenes, "--outputs", tmp_path / "theirs")["figures"]["latency"]
    assert found["first_audio_s"]["average"] == pytest.approx(0.75, abs=0.03)
    assert (found["answered"], found["questions"]) == (1, 2)
    (tmp_path / "told").mkdir()
    (tmp_path / "told/first_audio").write_text("q 0.5\nu\n")
    told = run(tmp_path / "2", "latency", "--data", scenes, "--outputs", tmp_path / "told")["figures"]["latency"]
    assert told["first_audio_s"]["p50"] == 0.5


def test_beginnings_follow_silence():
    wav = np.zeros(32000, np.float32)
    wav[8000:9600] = wav[12000:14000] = wav[30000:31000] = 0.5
    assert beginnings(wav, 16000) == pytest.approx([0.5, 1.86], abs=0.03)
    assert beginnings(np.zeros(100, np.float32), 16000) == []
    assert [row.index(1.0) for row in as_probabilities([0.33, 9.0], 4, 0.16)] == [0, 0, 1, 0]
