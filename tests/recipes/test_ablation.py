"""The ablation table: every row configures its stages, and rows run on a toy recipe, once."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from freeze_omni.bin.stages import main as stages
from freeze_omni.checkpoint import config_keys
from freeze_omni.config import as_mapping
from freeze_omni.pack import load
from freeze_omni.stages import STAGES
from tests.shell.bash import ROOT, ok, run
from tests.tasks.corpus import write_corpus
from tests.toy import toy_llm, toy_system

RECIPE, TEMPLATE = ROOT / "egs/ablation/s2s1", ROOT / "egs/TEMPLATE/s2s1"
LIST_ROWS = 'mini_dump=dump reference=ref; row() { printf "%s\\t" "$@"; echo; }; . local/rows.sh'


def rows() -> dict[str, dict[str, str]]:
    """Name -> the options of s2s.sh."""
    found = {}
    for line in ok("bash", "-c", LIST_ROWS, cwd=RECIPE).splitlines():
        name, about, *words = line.rstrip("\t").split("\t")
        assert about and len(words) % 2 == 0
        found[name] = dict(zip(words[::2], words[1::2], strict=True))
    return found


def test_every_row_is_a_configuration_of_its_stages(tmp_path, capsys):
    trains = {
        "frozen": "", "conv": "", "lora_early": "1.2 1.3 2.3", "answers": "1.2 1.3", "answers_kl": "1.2 1.3",
        "dynamic_chunks": "1.1 1.2 1.3", "no_pre_network": "2.2 2.3", "prefix": "1.3 2.3", "lora": "1.3 2.3",
        "no_prompt": "1.3", "kl": "1.3", "reference": "1.3",
    }  # fmt: skip
    found = rows()
    assert set(found) == set(trains)
    llm = str(toy_llm(tmp_path / "llm"))
    for name, options in found.items():
        changed = [one.name for one in STAGES if f"--{one.name}_args" in options]
        words = [f"--{one}_args={options[f'--{one}_args']}" for one in changed]
        words += ["--tag", name, "--changed", *changed, "--adapters", options.get("--adapters", "ctc"), "--llm", llm]
        stages(["dry_run", "--conf", str(TEMPLATE / "conf/mini"), "--work", str(tmp_path / name), *words])
        lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" minutes")]
        assert " ".join(Path(line.split()[0]).name[:3] for line in lines) == trains[name], name
        assert set(options) - {"--decode", "--adapters"} == {f"--{one}_args" for one in changed}, name


def test_an_unknown_row_is_an_error_before_work():
    found = run(RECIPE / "run.sh", "--rows", "frozen,froze", "--dry_run", "true", cwd=RECIPE)
    assert found.returncode == 1 and "no row 'froze' in local/rows.sh" in found.stderr


PARTS = {
    "1.1_encoder": ("encoder", "ctc"),
    "1.2_adapter_ctc": ("encoder", "ctc", "adapter", "task_tokens"),
    "1.3_dialogue_ctc": ("prompt", "state_head"),
    "2.1_codec": ("codec",),
    "2.2_speech_decoder": ("speech_decoder",),
    "2.3_prefix": ("speech_decoder",),
}
SHORT = {
    "optim_conf": {"lr": "1e-3"},
    "scheduler": "budgetcosine",
    "scheduler_conf": {"warmup_steps": 1},
    "max_minutes": 5,
    "max_epoch": 1,
    "num_iters_per_epoch": 1,
    "batch_type": "unsorted",
    "batch_size": 4,
}
MODELS = {
    "1.2_adapter_ctc": {"adapter": {"ctc": {}}, "ctc_weight": 0.3, "task_tokens": 2},
    "1.3_dialogue": {"prompt": 3},
    "2.3_prefix": {},
}
DONE = ("units", "stats", "codec_tts_train_and_answers", "codec_tts_dev", "codec_train", "codec_dev", "durations")
DONE += ("answers_train", "answers_dev", "raw_tts_train_and_answers")
RUN = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
shift 2
./s2s.sh --conf conf/tiny --train_set asr_train --valid_set asr_dev --test_sets asr_dev --tts_train_set tts_train \\
    --tts_valid_set tts_dev --dialogue_train_set train --dialogue_valid_set dev --qa_test_set test \\
    --scene_test_set test --spoken_test_set test --llm llm --nthreads 1 "$@"
"""


def finished_recipe(folder: Path) -> Path:
    """A toy recipe as a run up to stage 10 leaves it: checkpoints that learned nothing, a corpus of noise."""
    model = toy_system(folder / "llm", task_tokens=2)
    model.units.save(folder / "data_tiny/token_list")
    described = as_mapping(model.config)
    for name, parts in PARTS.items():
        target = folder / "exp_tiny" / name
        target.mkdir(parents=True)
        keys = [key for part in parts for key in config_keys(part)]
        saved = {key: described[key] for key in keys} | MODELS.get(name, {})
        (target / "config.yaml").write_text(yaml.safe_dump({"model": saved}))
        state = {key: value for key, value in model.state_dict().items() if key.split(".")[0] in parts}
        torch.save(state, target / "valid.loss.ave.pth")
    shutil.copytree(TEMPLATE / "conf/tiny", folder / "conf/tiny")
    same = {
        name: {key: described[key] for part in PARTS[name] for key in config_keys(part)}
        for name in ("1.1_encoder", "2.1_codec", "2.2_speech_decoder")
    }
    for name, content in (MODELS | same).items():
        (folder / f"conf/tiny/{name}.yaml").write_text(yaml.safe_dump(SHORT | {"model": content}))
    (folder / "conf/tiny/decode.yaml").write_text(yaml.safe_dump({"qa": {"questions": 2, "max_new_tokens": 3}}))
    dump = folder / "dump_tiny"
    for name in ("raw/asr_train", "raw/asr_dev", "raw/tts_train_and_answers", "raw/tts_dev"):
        write_corpus(dump / name)
    for name in ("train", "dev", "test"):
        corpus = write_corpus(dump / "dialogue" / name)
        question = {"id": "q", "question": "What?", "answers": ["Paris"]}
        (corpus / "questions.jsonl").write_text(json.dumps(question) + "\n")
        (corpus / "utt2question").write_text("utt0 q\nutt2 q\n")
        (corpus / "answers").symlink_to(corpus)
        (dump / "codec").mkdir(exist_ok=True)
        (dump / "codec" / name).symlink_to(corpus)
    for name in ("tts_train_and_answers", "tts_dev"):
        (dump / "codec" / name).symlink_to(dump / "raw" / name)
    (folder / "exp_tiny/.stages").mkdir()
    (folder / "exp_tiny/stats").mkdir()
    for name in DONE:
        (folder / f"exp_tiny/.stages/{name}.done").touch()
    for name in ("s2s.sh", "path.sh", "db.sh"):
        (folder / name).symlink_to(TEMPLATE / name)
    shutil.copy(TEMPLATE / "cmd.sh", folder)
    (folder / "run.sh").write_text(RUN)
    (folder / "run.sh").chmod(0o755)
    return folder


ROWS = """
dirs="--train_dir $mini_dump/dialogue/train --valid_dir $mini_dump/dialogue/dev"
row frozen "the recipe itself"
row both "a prefix, learned from answers and from the LLM that reads" \\
    --adapter_args "--model targets=answers --model kl_weight=1.0 $dirs" \\
    --dialogue_args "--model kl_weight=1.0 --model llm_tuning.prefix.positions=3"
"""


@pytest.mark.corpora
def test_rows_are_run_once_and_stand_in_the_table(tmp_path):
    toy, clone = finished_recipe(tmp_path / "toy"), tmp_path / "clone/egs/ablation/s2s1"
    shutil.copytree(RECIPE, clone, symlinks=True, ignore=shutil.ignore_patterns("exp*"))
    shutil.copytree(ROOT / "utils", tmp_path / "clone/utils")
    (clone / "path.sh").unlink()
    (clone / "path.sh").symlink_to(TEMPLATE / "path.sh")
    (clone / "toy.sh").write_text(ROWS)
    command = [clone / "run.sh", "--scale", "tiny", "--row_file", "./toy.sh", "--mini", toy, "--judge", "none"]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    table = (clone / "exp_tiny/RESULTS.md").read_text()
    assert "A toy" in table and "| frozen |" in table and "| both |" in table and "Not run yet" not in table
    assert "- `both`: a prefix, learned from answers and from the LLM that reads. Trains 1.2_adapter_ctc, " in table
    tags = toy / "exp_tiny/tags"
    assert not list((tags / "frozen").glob("[12].*"))
    model = load(tags / "both/system_ctc")
    assert model.llm.own_positions == 3 and model.llm.fingerprint() == model.config.llm.fingerprint
    assert sorted(path.name for path in (tags / "both/decode_ctc").iterdir() if path.is_dir()) == ["qa"]
    records = (tags / "both/decode_ctc/qa/records.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in records} == {"utt0", "utt2"}
    results = (toy / "exp_tiny/RESULTS.md").read_text()
    assert "tiny+both" in results
    again = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    assert "nothing changed, skipped" in again.stdout and "log:" not in again.stdout
