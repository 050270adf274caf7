"""egs/freeze_omni/s2s1 with conf/paper, all stages, two processes a training: only widths, depths and counts are less.

`tests/run.sh --paper`, a part of CI of its own. On a machine without GPUs torchrun starts the two processes, which talk
by gloo; with --ngpu 2 ESPnet starts them and they talk by NCCL. All else is what users run.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from freeze_omni.data.audio import read_audio
from freeze_omni.stages import OF_PAPER
from tests.recipes.miniature_recipes import EGS, run_miniature, run_recipe, toy_dialogue
from tests.toy import toy_llm

pytestmark = pytest.mark.paper

STEPS = "--max_epoch 2 --num_iters_per_epoch 2"
JUDGES = {
    "scales": 2,
    "scale_discriminator_params": {"channels": 8, "max_downsample_channels": 8, "max_groups": 4},
    "periods": [2, 3],
    "period_discriminator_params": {"channels": 4, "max_downsample_channels": 8},
    "stft": {"filters": 4},
}
SMALL = {
    "encoder": ("encoder.size=32", "encoder.layers=2", "encoder.heads=2", "encoder.ffn_size=32"),
    "codec": (
        "codec.time_domain.block_kernels=[3]",
        "codec.time_domain.block_dilations=[[1]]",
        shlex.quote(f"gan.discriminator_conf={json.dumps(JUDGES)}"),
    ),
    "speech_decoder": (
        *("speech_decoder.size=16", "speech_decoder.heads=2", "speech_decoder.ffn_size=32"),
        *("speech_decoder.layers=2", "speech_decoder.pre_layers=1"),
    ),
}
# What is counted in steps, or in what is made of them, in the YAMLs that are no training's.
FEWER = {
    "pack.yaml": {"generation": {"max_new_tokens": 8}, "sampling": {"max_tokens": 60}},
    "decode.yaml": {
        "asr": {"llm_max_tokens": 8},
        "qa": {"questions": 2, "max_new_tokens": 8},
        "tts": {"sentences": 1},
        "codec": {"utterances": 2},
        "states": {"scenes": 3},
        "latency": {"questions": 1, "max_new_tokens": 8},
    },
}
DATA = {
    "asr_train": "librispeech/asr1:train_clean_100",
    "asr_dev": "librispeech/asr1:dev_clean,librispeech/asr1:dev_other",
    "tts_train": "ljspeech/tts1:tr_no_dev",
    "tts_dev": "ljspeech/tts1:dev,ljspeech/tts1:eval1",
    "tts_test": "ljspeech/tts1:eval1",
    "tests": "librispeech/asr1:test_clean",
}


def paper_conf(folder: Path) -> Path:
    """conf/paper, as it is but for `FEWER`."""
    conf = folder / "paper"
    shutil.copytree(EGS / "TEMPLATE/s2s1/conf/paper", conf)
    for name, changes in FEWER.items():
        content = yaml.safe_load((conf / name).read_text())
        for key, fewer in changes.items():
            assert set(fewer) <= {*content[key], "max_new_tokens", "max_tokens"}
            content[key] |= fewer
        (conf / name).write_text(yaml.safe_dump(content))
    return conf


def dialogue_conf(folder: Path) -> Path:
    """The toy's, with the recordings under the names of this recipe."""
    path = toy_dialogue(folder)
    path.write_text(path.read_text().replace("speech: asr_", "speech: question_"))
    return path


def two_processes(folder: Path) -> Path:
    """A folder with a `python` that starts trainings twice."""
    script = folder / "bin/python"
    script.parent.mkdir()
    run = f'exec {sys.executable} -m torch.distributed.run --standalone --nproc_per_node 2 "$@" --dist_backend gloo'
    lines = ["#!/bin/sh", f'case "$*" in *--collect_stats*) ;; "-m freeze_omni.bin.train "*) {run} ;; esac']
    script.write_text("\n".join([*lines, f'exec {sys.executable} "$@"', ""]))
    script.chmod(0o755)
    return script.parent


def test_all_stages(tmp_path):
    for name in ("librispeech/asr1", "ljspeech/tts1", "moss_003_sft/s2s1"):
        run = run_miniature(name, tmp_path, "--stop_stage", "2")
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    data = {"egs": tmp_path / "egs", **DATA}
    options = {
        "conf": paper_conf(tmp_path),
        "stop_stage": 14,
        "ngpu": 0,
        "nthreads": 1,
        "nj": 2,
        "llm": toy_llm(tmp_path / "llm"),
        "test_sets": "test_clean",
        "dialogue_conf": dialogue_conf(tmp_path),
        "local_data_opts": " ".join(f"--{key} {value}" for key, value in data.items()),
        **{f"{one.name}_args": " --model ".join([STEPS, *SMALL.get(one.name, ())]) for one in OF_PAPER},
    }
    words = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
    path = {"PATH": f"{two_processes(tmp_path)}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = run_recipe("freeze_omni/s2s1", tmp_path, tuple(words), env=path)
    folder = tmp_path / "egs/freeze_omni/s2s1"
    exp = folder / "exp"
    (tmp_path / "run.log").write_text(run.stdout + run.stderr)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-3000:]
    for one in OF_PAPER:
        trained = exp / one.folder("conv")
        assert (trained / "valid.loss.ave.pth").exists()
        options = yaml.safe_load((trained / "config.yaml").read_text())
        assert options["distributed"] and options["dist_backend"] == "gloo"
    figures = json.loads((exp / "results.json").read_text())["models"]["conv"]
    assert {"chunk4", "chunk_inf", "llm"} <= set(figures["asr"]["test_clean"])
    packed = yaml.safe_load((exp / "pack/config.yaml").read_text())
    assert packed["task_tokens"] == 4 and packed["history"] == "speech" and packed["fifo"]
    assert (exp / "talk/answer.txt").read_text()
    assert len(read_audio(exp / "talk/answer.wav")[0])
