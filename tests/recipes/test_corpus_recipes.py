"""Stages 1 to 3 of every recipe on a miniature of its corpus, and all stages of one of each task.

`tests/run.sh --corpora`, a part of CI of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from freeze_omni.data.audio import read_audio
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_table
from tests.recipes.miniature_recipes import RECIPES, judge, run_miniature, run_recipe, toy_conf, toy_dialogue
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


def all_stages(name: str, work: Path, *more: str) -> Path:
    """Every stage of a recipe with a toy LLM and toy trainings; returns the folder of what was made."""
    conf, llm = toy_conf(work), toy_llm(work / "llm")
    run = run_miniature(name, work, "--stop_stage", "14", "--conf", str(conf), "--llm", str(llm), *more)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return work / "egs" / name


def test_all_stages_of_speech_input(tmp_path):
    exp = all_stages("an4/asr1", tmp_path, "--unit_kind", "llm", "--adapters", "ctc conv") / "exp"
    results = (exp / "RESULTS.md").read_text()
    assert "A toy" in results and "# Stage 1.2: the LLM hears through the adapter conv" in results
    tables = results.split("## Speech input, test, 2 utterances, normaliser english")[1:]
    assert len(tables) == 3, "by the encoder of 1.1, and by 1.2 with each adapter"
    assert all("| chunk4 |" in table for table in tables)
    assert ["| llm |" in table for table in tables] == [False, True, True]
    for adapter in ("ctc", "conv"):
        assert len(read_table(exp / f"decode_adapter_{adapter}/asr_test/text.llm", need_value=False)) == 2


def test_all_stages_of_speech_output(tmp_path):
    folder = all_stages("ljspeech/tts1", tmp_path)
    assert len(read_table(folder / "dump/codec/tr_no_dev/tokens")) == 4
    results = (folder / "exp/RESULTS.md").read_text()
    assert "A toy" in results and "# Stage 2.2: speech decoder, and codec\n\n## Speech output, eval1" in results
    for name, kind in (("no_prefix_top1", "tts"), ("no_prefix_top2", "tts"), ("copy", "codec"), ("original", "codec")):
        assert f"| {name} |" in results
        spoken = read_table(folder / f"exp/decode_voice/{kind}_eval1/{name}/wav.scp")
        assert set(spoken) == set(read_table(folder / "dump/raw/eval1/text"))
        assert all(read_audio(path)[1] == 24000 for path in spoken.values())


def test_all_stages_of_dialogue(tmp_path):
    """Spoken dialogues of two rounds, from written ones to an answer; where there is a judge, it rejects and scores."""
    judged = judge()
    rejection = {"rejection": {"most_wer": 0.5, "answers": False}} if judged else {}  # a toy's answers are no words
    options = ("--unit_kind", "llm", "--adapters", "conv", "--judge", judged)
    conf = toy_dialogue(tmp_path, **rejection)
    folder = all_stages("moss_003_sft/s2s1", tmp_path, *options, "--dialogue_conf", str(conf))
    train = folder / "dump/dialogue/train"
    assert validate(train, role="dialogue") == []
    for key, before in read_table(train / "history").items():
        ((asked, answer),) = json.loads(before)
        assert read_table(train / "answer")[key.removesuffix("-round2")] == answer != ""
        texts = read_table(train / "text", need_value=False)  # noise has none
        assert texts[key.removesuffix("-round2")] == asked
    if judged:
        assert (folder / "dump/dialogue/judged/questions/rejected").is_file()
    listening, speaking = ("1.1_encoder", "1.2_adapter_conv", "1.3_dialogue_conv"), ("2.1_codec", "2.2_speech_decoder")
    for stage in (*listening, *speaking, "2.3_prefix"):
        assert (folder / f"exp/{stage}/valid.loss.ave.pth").exists()
    results = (folder / "exp/RESULTS.md").read_text()
    assert "Scale tiny is a toy" in results and "| tiny, conv | asr_test |" in results
    assert (folder / "exp/pack/RESULTS.md").read_text() == results
    assert (folder / "exp/talk/answer.txt").read_text()


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
    assert len(read_table(folder / "data/question_train/text")) == 4  # two dialogues of two rounds
    assert validate(folder / "data/qa_train", role="qa") == []
    shutil.rmtree(tmp_path / "egs/ljspeech")
    again = run_recipe("freeze_omni/s2s1", tmp_path, (*options, words.replace(":dev_clean", ":dev_other")))
    assert again.returncode != 0 and "run egs/ljspeech/tts1/run.sh --stop_stage 2 first" in again.stderr
