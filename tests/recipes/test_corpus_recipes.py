"""Stages 1 to 3 of every recipe on a miniature of its corpus: `tests/run.sh --corpora`, a part of CI of its own."""

from __future__ import annotations

import shutil

import pytest

from freeze_omni.data.audio import read_audio
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_table
from tests.recipes.miniature_recipes import RECIPES, run_miniature, run_recipe
from tests.toy import toy_llm

pytestmark = pytest.mark.corpora


@pytest.mark.parametrize("name", RECIPES)
def test_stages_1_to_3(name, tmp_path):
    run = run_miniature(name, tmp_path)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    folder = tmp_path / "egs" / name
    for set_name in RECIPES[name].sets:
        role = "tts" if name.endswith("tts1") or set_name.startswith("tts_") else "asr"
        assert validate(folder / "data" / set_name, role=role) == []
        prepared = folder / "dump" / "raw" / set_name
        wavs, lengths = read_table(prepared / "wav.scp"), read_table(prepared / "utt2num_samples")
        assert set(wavs) == set(lengths) == set(read_table(prepared / "text"))
        key = min(lengths, key=lambda utterance: int(lengths[utterance]))
        wav, hz = read_audio(wavs[key])
        assert (len(wav), hz) == (int(lengths[key]), 24000 if role == "tts" else 16000)
        assert 0.2 < len(wav) / hz < 20 and abs(wav).max() > 0.01, "this is no speech"
    if not name.endswith("tts1"):
        assert (folder / "data/token_list/units.json").is_file()
        assert (folder / "exp/stats/train/feats_stats.npz").is_file()


def test_all_stages_of_speech_input(tmp_path):
    llm = str(toy_llm(tmp_path / "llm"))
    options = ("--stop_stage", "14", "--llm", llm, "--unit_kind", "llm", "--adapters", "conv")
    run = run_miniature("an4/asr1", tmp_path, *options)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    exp = tmp_path / "egs/an4/asr1/exp"
    assert (exp / "1.2_adapter_conv/valid.loss.ave.pth").exists()
    results = (exp / "RESULTS.md").read_text()
    assert "test, 2 utterances, normaliser english" in results and "| chunk4 |" in results


def test_all_stages_of_speech_output(tmp_path):
    llm = str(toy_llm(tmp_path / "llm"))
    run = run_miniature("ljspeech/tts1", tmp_path, "--stop_stage", "14", "--llm", llm)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    folder = tmp_path / "egs/ljspeech/tts1"
    assert (folder / "exp/2.2_speech_decoder/valid.loss.ave.pth").exists()
    assert len(read_table(folder / "dump/codec/tr_no_dev/tokens")) == 4


def test_finished_stages_are_not_run_again(tmp_path):
    for _ in range(2):
        run = run_miniature("aishell/asr1", tmp_path, "--stop_stage", "2")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("nothing changed, skipped") == 5  # data, train, dev (twice), test


def test_the_system_is_joined_from_other_recipes(tmp_path):
    for name in ("librispeech/asr1", "wenetspeech/asr1", "ljspeech/tts1", "moss_003_sft/s2s1"):
        run = run_miniature(name, tmp_path, "--stop_stage", "2")
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    libri, lj = "librispeech/asr1", "ljspeech/tts1"
    data_opts = {
        "egs": tmp_path / "egs",
        "asr_train": f"{libri}:train_clean_100,wenetspeech/asr1:train_l",
        "asr_dev": f"{libri}:dev_clean",
        "tts_train": f"{lj}:tr_no_dev",
        "tts_dev": f"{lj}:dev",
        "tts_test": f"{lj}:eval1",
        "tests": f"{libri}:test_clean,{libri}:test_other:other",
    }
    options = ("--test_sets", "test_clean other", "--unit_kind", "char", "--local_data_opts")
    words = " ".join(f"--{key} {value}" for key, value in data_opts.items())
    run = run_recipe("freeze_omni/s2s1", tmp_path, (*options, words))
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    folder = tmp_path / "egs/freeze_omni/s2s1"
    assert len(read_table(folder / "dump/raw/asr_train/text")) == 6 + 14
    assert len(read_table(folder / "data/question_train/text")) == 2
    assert validate(folder / "data/qa_train", role="qa") == []
    shutil.rmtree(tmp_path / "egs/ljspeech")
    again = run_recipe("freeze_omni/s2s1", tmp_path, (*options, words.replace(":dev_clean", ":dev_other")))
    assert again.returncode != 0 and "run egs/ljspeech/tts1/run.sh --stop_stage 2 first" in again.stderr
