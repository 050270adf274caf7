"""Toy stages, chained as the recipe chains them: 1.1, 1.2 with both adapters, 1.3, 2.2, 2.3."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModel

from freeze_omni.bin.train import load_task, main
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.llm.units import CtcUnits, spelled_words
from freeze_omni.tasks.data_dirs import add_data_dirs
from tests.contract.parts.pretrained import MODELS as SPEECH_MODELS
from tests.tasks.corpus import DECODER, ENCODER, TEXTS, write_corpus
from tests.toy import toy_llm, toy_tokenizer

# name: (task, `model:`, parts taken over from another of these)
STAGES = {
    "1.1": ("encoder", {"encoder": ENCODER, "spec_augment": {}, "spelling": {"layer": 1}}, {}),
    "1.2_ctc": ("adapter", {"adapter": {"ctc": {}}, "ctc_weight": 0.3}, {"1.1": "encoder,ctc"}),
    "1.2_conv": ("adapter", {"adapter": {"conv": {}}}, {"1.1": "encoder,ctc"}),
    "1.3": ("dialogue", {"prompt": 5}, {"1.2_ctc": "encoder,adapter", "1.1": "ctc"}),
    "2.2": ("speech_decoder", {"speech_decoder": DECODER, "text_style": "english"}, {}),
    "2.3": ("prefix", {}, {"2.2": "speech_decoder"}),
    "1.2_lora": ("adapter", {"adapter": {"conv": {}}, "llm_tuning": {"lora": {"rank": 2}}}, {"1.1": "encoder,ctc"}),
    "1.3_lora": ("dialogue", {"prompt": 5}, {"1.2_lora": "encoder,adapter,llm_tuning", "1.1": "ctc"}),
    "1.3_prefix": (
        "dialogue",
        {"prompt": 5, "llm_tuning": {"prefix": {"positions": 3}}},
        {"1.2_ctc": "encoder,adapter", "1.1": "ctc"},
    ),
    "1.0": ("frontend", {"frontend": {"context": "cached", "left_s": 0.32, "lookahead_chunks": 1}}, {}),
    "1.1_adapted": ("encoder", {"frontend": {}, "encoder": ENCODER}, {"1.0": "frontend"}),
    "1.1_pretrained": (
        "encoder",
        {
            "frontend": {"left_s": 0.32, "lookahead_chunks": 1},
            "encoder": ENCODER,
            "augment": {},
            "spelling": {"layer": 1},
        },
        {},
    ),
    "1.2_pretrained": (
        "adapter",
        {"adapter": {"ctc": {}}, "ctc_weight": 0.3},
        {"1.1_pretrained": "frontend,encoder,ctc"},
    ),
    "1.3_pretrained": (
        "dialogue",
        {"prompt": 5},
        {"1.2_pretrained": "encoder,adapter", "1.1_pretrained": "frontend,ctc"},
    ),
    "2.3_prefix": ("prefix", {}, {"2.2": "speech_decoder", "1.3_prefix": "llm_tuning"}),
}
WARM = {"share": 0.5, "later": 0.5}
POOL = {"adapter": {"pool": {"size": 16, "heads": 2, "layers": 1, "dropout": 0.0}}, "still_encoder": True}
CONV = {"adapter": {"conv": {}}, "still_encoder": True, "warm_start": {"share": 0.5}, "learned_filler": True}
SPOKEN = {  # with CTC units of kind word
    "1.2_pool": ("adapter", POOL | {"warm_start": WARM}, {"1.1": "encoder,ctc"}),
    "1.3_pool": ("dialogue", {"prompt": 5}, {"1.2_pool": "adapter", "1.1": "encoder,ctc"}),
    "1.2_conv_words": ("adapter", CONV, {"1.1": "encoder,ctc"}),
    "1.3_conv_words": ("dialogue", {"prompt": 5}, {"1.2_conv_words": "adapter", "1.1": "encoder,ctc"}),
}


@dataclass
class Toy:
    """A corpus, an LLM and units in one folder, and the stages made with them."""

    folder: Path
    stages: Mapping[str, tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=lambda: STAGES)

    def options(self, name: str, **more: Any) -> list[str]:
        """Command-line options of a stage, its YAML written to the folder."""
        _, model, sources = self.stages[name]
        content = {
            "optim_conf": {"lr": "2e-3"},
            "batch_type": "unsorted",
            "batch_size": 2,
            "init_parts": [f"{self.checkpoint(stage)}:{parts}" for stage, parts in sources.items()],
            "model": model,
        }
        if "frontend" in model:
            content["encoder"] = str(self.speech_model())
        path, new = (self.folder / f"{name}.{end}" for end in ("yaml", "yaml.new"))
        new.write_text(yaml.safe_dump(content | more), encoding="utf-8")
        new.replace(path)  # at once: a training that was just started may be reading it
        data, llm, units = (str(self.folder / part) for part in ("data", "llm", "units"))
        sources = ["--train_dir", data, "--valid_dir", data, "--llm", llm, "--units", units]
        return ["--config", str(path), "--output_dir", str(self.folder / name), *sources]

    def speech_model(self) -> Path:
        """A toy Whisper, as transformers saves it."""
        folder = self.folder / "speech_model"
        if not folder.exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                AutoModel.from_config(AutoConfig.for_model(**SPEECH_MODELS["whisper"])).save_pretrained(folder)
        return folder

    def checkpoint(self, name: str) -> Path:
        """A checkpoint of a stage that learnt nothing, made on first use."""
        path = self.folder / f"made_{name}" / "latest.pth"
        if not path.exists():
            path.parent.mkdir()
            model, args = self.build(name)
            torch.save(model.state_dict(), path)
            (path.parent / "config.yaml").write_text(yaml.safe_dump({"model": args.model}))
        return path

    def build(self, name: str, **more: Any) -> tuple[torch.nn.Module, argparse.Namespace]:
        """The model of a stage and its options."""
        task = load_task(self.stages[name][0])
        args = task.get_parser().parse_args(self.options(name, **more))
        return task.build_model(args), args

    def batch(self, name: str, args: argparse.Namespace) -> dict[str, torch.Tensor]:
        """All of the corpus as the stage's model takes it."""
        from espnet2.train.dataset import ESPnetDataset

        task = load_task(self.stages[name][0])
        add_data_dirs(args, task.files, task.optional, task.sample_hz)
        data = ESPnetDataset(args.train_data_path_and_name_and_type, preprocess=task.build_preprocess_fn(args, True))
        ids = [line.split()[0] for line in open(args.train_shape_file[0], encoding="utf-8")]
        rows = [data[uid] for uid in ids]
        return task.build_collate_fn(args, True)(rows)[1]


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    write_corpus(folder / "data")
    toy_llm(folder / "llm")
    CtcUnits.from_llm(TEXTS, toy_tokenizer(), min_count=1).save(folder / "units")
    return Toy(folder)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    """The toy corpus with units of kind word, and the stages of SPOKEN."""
    folder = tmp_path_factory.mktemp("spoken")
    write_corpus(folder / "data")
    toy_llm(folder / "llm")
    words = {word for text in TEXTS for word in spelled_words(text)}
    CtcUnits.from_words(WordCounts(dict.fromkeys(sorted(words), 0.01))).save(folder / "units")
    return Toy(folder, STAGES | SPOKEN)


@pytest.fixture
def start():
    """start(arguments): the command in its own process, forked from one that imports what it needs once."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["freeze_omni.tasks.encoder", "freeze_omni.tasks.codec"])
    begun = []

    def start(arguments: list[str]) -> BaseProcess:
        begun.append(forks.Process(target=main, args=(arguments,)))
        begun[-1].start()
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.join()
