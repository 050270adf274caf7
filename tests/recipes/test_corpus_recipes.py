"""Stages 1 to 3 of every recipe on a miniature of its corpus, and all stages of one of each task.

`tests/run.sh --corpora`, a part of CI of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from freeze_omni.data.audio import read_audio
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_table
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.eval.runner import read_records
from freeze_omni.speech_decoder.normalise import is_chinese
from tests.encoder.whisper import write_whisper
from tests.recipes import chinese
from tests.recipes.miniature_recipes import DIALOGUE, RECIPES, judge, run_miniature, run_recipe, toy_conf, toy_dialogue
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


def test_adapters_at_token_rate_learn_with_words_of_a_lexicon(tmp_path):
    WordCounts({"one": 0.1, "two": 0.1, "go": 0.05}).save(tmp_path / "lexicon")
    words = ("--unit_kind", "word", "--lexicon", str(tmp_path / "lexicon"), "--adapters", "words pool")
    exp = all_stages("an4/asr1", tmp_path, *words, "--stop_stage", "6") / "exp"
    log = (exp / "1.2_adapter_pool/train.log").read_text()
    assert "nearest=" in log and "acc=" in log, "first the embeddings, then the LLM"
    assert (exp / "1.2_adapter_words/valid.loss.ave.pth").exists()


def test_a_transcriber_says_the_words(tmp_path):
    """Of a random Whisper, up to stage 6; and a second call finds that nothing has changed."""
    WordCounts({"one": 0.1, "two": 0.1, "go": 0.05}).save(tmp_path / "lexicon")
    whisper = str(write_whisper(tmp_path / "whisper", max_source_positions=200)[1])
    words = ("--unit_kind", "word", "--lexicon", str(tmp_path / "lexicon"), "--adapters", "words")
    options = (*words, "--encoder", whisper, "--transcriber", whisper, "--transcribed", "2", "--stop_stage", "6")
    folder = all_stages("an4/asr1", tmp_path, *options)
    assert len(read_table(next(folder.glob("dump/feats/raw/*_transcribed/said")), need_value=False)) == 2
    assert (folder / "exp/1.2_adapter_words/valid.loss.ave.pth").exists()
    again = run_miniature(
        "an4/asr1", tmp_path, "--conf", str(tmp_path / "tiny"), "--llm", str(tmp_path / "llm"), *options
    )
    assert again.returncode == 0, again.stderr
    assert "inputs changed" not in again.stdout and "1.1_encoder: nothing changed, skipped" in again.stdout


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
    assert "Scale tiny is a toy" in results and "| tiny, convolution (the paper) | asr_test |" in results
    assert (folder / "exp/pack/RESULTS.md").read_text() == results
    assert (folder / "exp/talk/answer.txt").read_text()


def test_a_chinese_question_is_answered_in_chinese(tmp_path):
    """AISHELL heard, AISHELL-3 spoken, Chinese dialogues by a program of one's own, all in miniature; a taught LLM.

    What the miniature hears is no Chinese, as it is English speech with Chinese transcripts: first answers are right in
    writing, and in speech some are Chinese. The toy LLM was taught no second round.
    """
    own = chinese.program(tmp_path)
    moss = tmp_path / "corpora/moss_003_sft_s2s1"
    (moss / "files").mkdir(parents=True)
    (moss / "path").write_text(str(chinese.moss(moss / "files")))
    speech = f"'--program={own},--dialogues=2,--sentences=3,--text_style=chinese'"
    opts = f"--share 1.0 --prepare_opts --held_out=0.1 --voices program:anna --voice program:bob --speak_opts {speech}"
    sources = {"aishell/asr1": (), "aishell3/tts1": (), "moss_003_sft/s2s1": ("--local_data_opts", opts)}
    for name, more in sources.items():
        run = run_miniature(name, tmp_path, "--stop_stage", "2", *more)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    sets = f"""--egs {tmp_path}/egs --asr_train aishell/asr1:train --asr_dev aishell/asr1:dev
        --tests aishell/asr1:test:aishell_test --tts_train aishell3/tts1:train_no_dev --tts_dev aishell3/tts1:dev
        --tts_test aishell3/tts1:test""".replace("\n", " ")
    conf, llm = toy_conf(tmp_path, "zh/tiny"), chinese.taught_llm(tmp_path / "llm")
    dialogue = yaml.safe_load(DIALOGUE.read_text().replace("asr_", "question_")) | {"text_style": "chinese"}
    dialogue["answers"] = {"system": chinese.SYSTEM, "max_new_tokens": 16}
    (tmp_path / "dialogue.yaml").write_text(yaml.safe_dump(dialogue))
    options = {
        "conf": conf, "llm": llm, "unit_kind": "llm", "system_prompt": chinese.SYSTEM, "tts": f"program:{own}",
        "dialogue_conf": tmp_path / "dialogue.yaml", "test_sets": "aishell_test", "local_data_opts": sets,
        "decode": "asr qa", "ngpu": "0", "nj": "2", "stop_stage": "14",
    }  # fmt: skip
    words = tuple(str(word) for key, value in options.items() for word in (f"--{key}", value))
    run = run_recipe("freeze_omni/s2s1", tmp_path, words)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    folder = tmp_path / "egs/freeze_omni/s2s1"
    answers = read_table(folder / "dump/dialogue/train/answer")
    first = {text for key, text in answers.items() if not key.endswith("-round2")}
    assert first and first <= {"今天是三号。", "车站在五楼。", "一周有七天。", "我叫小明。"}, "numbers in characters"
    assert all(is_chinese(text) for text in read_table(folder / "dump/raw/asr_train/text").values())
    records = read_records(folder / "exp/decode_conv/qa/records.jsonl").values()
    assert all(one["answer_text"] == chinese.ANSWERS[one["question"]] for one in records if one["round"] == 1)
    assert any(is_chinese(one["answer"]) for one in records)
    assert "is a toy" in (folder / "exp/RESULTS.md").read_text()


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
