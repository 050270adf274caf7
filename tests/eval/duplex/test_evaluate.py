"""`freeze-omni eval duplex --scenes`: a packed model, another system's outputs, words, Full-Duplex-Bench's folders."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
import soundfile

from freeze_omni import pack
from freeze_omni.bin import duplex_scenes, evaluate
from freeze_omni.data.audio import write_wav
from freeze_omni.eval.config import DuplexDecodeConfig
from freeze_omni.eval.duplex.bench import TASKS
from freeze_omni.eval.duplex.scene import read_scenes
from freeze_omni.eval.judge import Word
from freeze_omni.eval.results import headline
from freeze_omni.eval.subjects import score_root
from tests.eval.duplex.rig import sentences, spoken
from tests.toy import toy_system


@pytest.fixture
def theirs(scenes, tmp_path):
    """Of a system that speaks from 1 s after the turn to the end, and stops 0.6 s after an interruption begins."""
    for scene in read_scenes(scenes):
        begin_s = scene.turn.end_s + 1.0
        spans = [(begin_s, scene.seconds)]
        if scene.kind == "interruption":
            start_s, end_s = scene.event.start_s, scene.event.end_s
            spans = [(begin_s, start_s + 0.6), (end_s + 0.9, scene.seconds)]
        write_wav(tmp_path / "theirs" / scene.id / "output.wav", spoken(scene.seconds, *spans), 16000)
    return tmp_path / "theirs"


class Judge:
    """Hears a word in every second of sound."""

    name = "knowing"

    def __init__(self, folder, config, device):
        assert config.language == "en"

    def words(self, wav):
        return [Word(" word", at + 0.1, at + 0.3) for at in range(len(wav) // 16000) if wav[round(16000 * (at + 0.2))]]


def run(tmp_path, scenes, *words):
    evaluate.main(["duplex", "--scenes", str(scenes), *map(str, words), "--output", str(tmp_path / "out")])
    return json.loads((tmp_path / "out/duplex_scenes.json").read_text())["figures"]["duplex"]


def test_outputs_of_another_system(scenes, theirs, tmp_path, capsys):
    figures = run(tmp_path, scenes, "--outputs", theirs)
    kinds = figures["kinds"]
    assert kinds["turn"]["response_s"]["average"] == pytest.approx(1.0, abs=0.03)
    assert kinds["interruption"]["stop_s"]["average"] == pytest.approx(0.6, abs=0.03)
    assert kinds["interruption"]["respond"]["share"] == kinds["side"]["resume"]["share"] == 1.0
    assert kinds["pause"]["takeover"]["share"] == kinds["echo"]["takeover"]["share"] == 0.0
    aside = [kind for kind in kinds if kind in ("backchannel", "side", "background", "noise")]
    assert figures["resume"]["share"] == 1.0 and figures["resume"]["count"] == len(aside)
    assert headline({"duplex": figures}, "seen", "unseen", "real")["closed_take"] is None, "one scene is no figure"
    closed = headline({"duplex": figures | {"scenes": 10 * len(kinds)}}, "seen", "unseen", "real")
    assert (closed["closed_take"], closed["closed_false_pause"], closed["closed_resume"]) == (1.0, 0.0, 1.0)
    assert closed["closed_stop_s"] == pytest.approx(0.6, abs=0.03) and closed["closed_scenes"] == 10 * len(kinds)
    out = capsys.readouterr().out
    assert "| interruption | 100.0 (100.0-100.0), 1 | high |" in out
    assert f"full_duplex_bench/{{{','.join(sorted(TASKS.values()))}}}" in out


def test_full_duplex_bench_gets_its_folders(scenes, theirs, tmp_path, monkeypatch):
    monkeypatch.setattr("freeze_omni.eval.judge.Judge", Judge)
    run(tmp_path, scenes, "--outputs", theirs, "--judge", tmp_path)
    told = json.loads((theirs / "turn-0000/output.json").read_text())
    assert told["chunks"] and set(told["text"].split()) == {"word"}
    for scene in read_scenes(scenes):
        if scene.kind not in TASKS:
            continue
        folder = tmp_path / "out/full_duplex_bench" / TASKS[scene.kind] / scene.id
        length_s = scene.turn.end_s if scene.kind == "pause" else scene.seconds
        for name in ("input", "output"):
            info = soundfile.info(folder / f"{name}.wav")
            assert info.duration == pytest.approx(length_s, abs=0.001)
        chunks = json.loads((folder / "output.json").read_text())["chunks"]
        if scene.kind == "pause":
            assert not chunks, "all that is said in the user's turn is a takeover to its script"
            assert json.loads((folder / "pause.json").read_text())[0]["timestamp"] == list(scene.turn.pauses[0])
        elif scene.kind == "turn":
            assert json.loads((folder / "turn_taking.json").read_text())[0]["timestamp"][0] == scene.turn.end_s
        else:
            meta = json.loads((folder / "metadata.json").read_text())
            assert meta["timestamps"] == [scene.event.start_s, scene.event.end_s]
        if scene.kind == "interruption":
            (row,) = json.loads((folder / "interrupt.json").read_text())
            assert row == {"context": scene.turn.text, "interrupt": scene.event.text, "timestamp": meta["timestamps"]}
            assert all(chunk["timestamp"][0] >= scene.event.end_s for chunk in chunks) and chunks


def test_a_packed_model_is_played_to_and_goes_on(scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FREEZE_OMNI_SMART_TURN_DIR", str(tmp_path))
    folder = pack.save(toy_system(tmp_path / "llm"), tmp_path / "pack", copy_llm=False)
    (tmp_path / "short.yaml").write_text("lead_s: [0.1, 0.1]\ntail_s: 0.4\n")
    some = tmp_path / "scenes"
    words = ["--data", str(sentences(tmp_path / "data", "q1", seconds=0.5)), "--output", str(some), "--count", "1"]
    duplex_scenes.main([*words, "--kinds", "turn", "--config", str(tmp_path / "short.yaml")])
    (tmp_path / "decode.yaml").write_text("duplex: {baselines: [vad, smart_turn]}\n")
    words = ("--model", folder, "--max_new_tokens", "3", "--config", tmp_path / "decode.yaml")
    figures = run(tmp_path, some, *words)
    assert "smart_turn was not played: no weights; run tools/installers/get_smart_turn.sh" in capsys.readouterr().err
    assert figures["scenes"] == figures["baselines"]["vad"]["scenes"] == 1 and not figures["missing"]
    assert set(figures["baselines"]) == {"vad"}
    assert (tmp_path / "out/duplex_vad/turn-0000/output.wav").is_file()
    written = (tmp_path / "out/duplex/turn-0000/output.wav").stat().st_mtime_ns
    assert run(tmp_path, some, *words) == figures
    assert (tmp_path / "out/duplex/turn-0000/output.wav").stat().st_mtime_ns == written, "not played again"
    plain = Namespace(dnsmos=False, speaker_similarity=False)
    config = Namespace(score=plain, duplex=DuplexDecodeConfig(baselines=("vad", "smart_turn")))
    assert score_root(tmp_path / "out", config, None) == {"duplex": figures}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["asr", "--scenes", "x", "--model", "y"], "--scenes is for the task duplex"),
        (["duplex", "--data", "x", "--server", "ws://127.0.0.1:9"], "--server for --scenes"),
        (["duplex", "--scenes", "/no", "--outputs", "y"], "compose scenes with"),
    ],
)
def test_what_does_not_fit_is_told(words, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        evaluate.main([*words, "--output", str(tmp_path)])


def test_no_server_is_told(scenes, tmp_path):
    with pytest.raises(SystemExit, match="--server: .*no server answers there"):
        run(tmp_path, scenes, "--server", "ws://127.0.0.1:9")
