"""Synthetic speech that is misheard is taken out, and heard only once."""

import pytest
import torch

from freeze_omni.bin import make_dialogue, reject_spoken
from freeze_omni.config import ConfigError
from freeze_omni.data.datadir import validate
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.tables import read_table
from freeze_omni.dialogues.plan import RejectionConfig
from freeze_omni.eval import round_trip
from tests.commands import exit_code
from tests.data.corpora.clips import clip

HEARD = {"s-a": "Yes!", "s-b": "No, start.", "s-c": "Go."}


@pytest.fixture
def folder(tmp_path):
    wavs = {key: clip(i).write(tmp_path / "set" / f"{key}.wav") for i, key in enumerate(HEARD)}
    texts = {"s-a": "Yes.", "s-b": "Start.", "s-c": "go"}
    write_set(tmp_path / "set", wavs, texts, dict.fromkeys(wavs, "s"))
    return tmp_path / "set"


@pytest.fixture
def asked(monkeypatch):
    """Ids that a judge was asked for; it hears what HEARD says."""
    ids = []

    class Fake:
        def __init__(self, folder, config, device):
            assert config.language == "en"

        def transcribe(self, clips):
            ids.extend(clips)
            return {key: HEARD[key] for key in clips}

    monkeypatch.setattr("freeze_omni.eval.judge.Judge", Fake)
    return ids


def test_what_is_misheard_goes_and_is_listed(folder, asked, tmp_path, capsys):
    command = [str(folder), "--judge", str(tmp_path)]
    reject_spoken.main(command)
    assert "2 kept, 1 rejected" in capsys.readouterr().out
    assert sorted(read_table(folder / "text")) == ["s-a", "s-c"] and validate(folder, role="tts") == []
    assert (folder / "rejected").read_text() == "s-b\t1.00\tStart.\tNo, start.\n"
    assert sorted(asked) == sorted(HEARD)


def test_a_set_that_is_spoken_again_is_not_heard_again(folder, asked, tmp_path):
    tables = {name: (folder / name).read_text() for name in ("wav.scp", "text", "utt2spk", "spk2utt")}
    for _ in range(2):
        for name, text in tables.items():
            (folder / name).write_text(text)
        reject_spoken.main([str(folder), "--judge", str(tmp_path)])
    assert len(asked) == 3


def test_a_judge_that_hears_nothing_right_is_told(folder, asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(HEARD, "s-a", "x")
    monkeypatch.setitem(HEARD, "s-c", "x")
    with pytest.raises(SystemExit, match="every utterance was misheard"):
        reject_spoken.main([str(folder), "--judge", str(tmp_path)])
    assert len(read_table(folder / "text")) == 3, "the set is left as it was"


def test_stage_4_hears_a_clip_once_and_lists_what_is_misheard(folder, asked, tmp_path):
    wavs, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    for _ in range(2):
        misheard = round_trip.of_dialogues(tmp_path, RejectionConfig(), threads=1)
        assert misheard(tmp_path / "judged/answers", wavs, texts) == {"s-b"}
    assert (tmp_path / "judged/answers/rejected").read_text() == "s-b\t1.00\tStart.\tNo, start.\n"
    assert sorted(asked) == sorted(HEARD)
    misheard = round_trip.of_dialogues(tmp_path, RejectionConfig(), threads=3)
    assert misheard(tmp_path / "judged/answers", wavs, texts) == {"s-b"} and len(asked) == 3, "by other threads, too"
    lenient = round_trip.of_dialogues(tmp_path, RejectionConfig(most_wer=1.0), threads=1)
    assert lenient(tmp_path / "judged/answers", wavs, texts) == set()
    with pytest.raises(ConfigError, match="normaliser 'klingon' is none of"):
        round_trip.of_dialogues(tmp_path, RejectionConfig(normaliser="klingon"), threads=1)


@pytest.mark.parametrize(("device", "taken"), [("cpu", "cpu"), ("cuda:1", "cuda:1"), ("mps", "cpu")])
def test_the_judge_has_the_device_that_it_is_given(folder, tmp_path, monkeypatch, device, taken):
    devices = []

    class Fake:
        def __init__(self, folder, config, device):
            devices.append(device)

        def transcribe(self, clips):
            return {key: HEARD[key] for key in clips}

    monkeypatch.setattr("freeze_omni.eval.judge.Judge", Fake)
    wavs, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    round_trip.of_dialogues(tmp_path, RejectionConfig(), 1, torch.device(device))(tmp_path / "judged", wavs, texts)
    monkeypatch.setattr(reject_spoken, "device_of", torch.device)
    reject_spoken.main([str(folder), "--judge", str(tmp_path), "--device", device])
    assert devices == [taken, taken]


def test_stage_4_does_not_pass_over_a_rejection_without_a_judge(tmp_path, capsys):
    (tmp_path / "dialogue.yaml").write_text("sets: {}\nrejection: {most_wer: 0.2}\n")
    assert exit_code(make_dialogue.main, ["--config", str(tmp_path / "dialogue.yaml"), "--llm", "none"]) == 1
    assert "rejection needs a recogniser: give --judge" in capsys.readouterr().err
