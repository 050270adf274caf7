"""A finished toy recipe for the ablations: checkpoints that learnt nothing, a corpus of noise, configurations."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import torch
import yaml

from freeze_omni.checkpoint import config_keys
from freeze_omni.config import as_mapping
from freeze_omni.eval.ablation.steps import Step
from tests.tasks.corpus import write_corpus
from tests.toy import toy_system

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
}
SYSTEM = "Be kind."


def finished_recipe(folder: Path) -> Path:
    """Write exp/, data/, dump/ and conf/tiny/ as the mini recipe leaves them, and the rows' decode.yaml."""
    model = toy_system(folder / "llm", task_tokens=2)
    model.units.save(folder / "data/token_list")
    described = as_mapping(model.config)
    for stage, parts in PARTS.items():
        target = folder / "exp" / stage
        target.mkdir(parents=True)
        keys = [key for part in parts for key in config_keys(part)]
        config = {"model": {key: described[key] for key in keys}, "llm": str(folder / "llm"), "system": SYSTEM}
        (target / "config.yaml").write_text(yaml.safe_dump(config))
        state = {key: value for key, value in model.state_dict().items() if key.split(".")[0] in parts}
        torch.save(state, target / "valid.loss.ave.pth")
    for name in ("raw/asr_train", "raw/asr_dev", "raw/tts_dev", "dialogue/train", "dialogue/dev", "dialogue/test"):
        corpus = write_corpus(folder / "dump" / name)
        question = {"id": "q", "question": "What?", "answers": ["Paris"]}
        (corpus / "questions.jsonl").write_text(json.dumps(question) + "\n")
        (corpus / "utt2question").write_text("utt0 q\nutt2 q\n")
    (folder / "conf/tiny").mkdir(parents=True)
    for name, content in MODELS.items():
        (folder / f"conf/tiny/{name}.yaml").write_text(yaml.safe_dump(SHORT | {"model": content}))
    (folder / "decode.yaml").write_text(yaml.safe_dump({"qa": {"questions": 2, "max_new_tokens": 3}}))
    return folder


def arguments(recipe: Path, rows: dict, *more: str) -> list[str]:
    """Of freeze_omni.bin.ablate."""
    (recipe / "rows.yaml").write_text(yaml.safe_dump({"rows": rows}, sort_keys=False))
    folders = {"exp": "exp", "dump": "dump", "data": "data", "conf": "conf/tiny", "reference": "reference"}
    folders |= {"out": "rows", "table": "rows.yaml", "results": "RESULTS.md", "decode": "decode.yaml"}
    words = [word for name, path in folders.items() for word in (f"--{name}", str(recipe / path))]
    return [*words, "--threads", "1", *more]


def in_process(step: Step, log: Path) -> None:
    """Run a step's command without a process of its own."""
    before, sys.argv = sys.argv, [step.module, *step.arguments]
    module = importlib.import_module(f"freeze_omni.bin.{step.module}")
    try:
        module.main() if step.module == "pack" else module.main(list(step.arguments))
    finally:
        sys.argv = before
