"""Rows of training: updates of each stage by the project's tasks and ESPnet's trainer, on rows of random numbers."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.reporter import Reporter
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.device.bench import Bench, Figures
from benchmarks.paper_scale import ADAPTER, GPUS, ROW_S
from freeze_omni.autocast import autocast_dtype
from freeze_omni.bin.stages import Plan, add_plan_options, add_run_options, plans
from freeze_omni.duplex.state_head import STATES
from freeze_omni.stages import STAGES
from freeze_omni.tasks.parts_model import PartsModel
from freeze_omni.tasks.resources import LlmEmbedding, Resources

COUNTED, FIRST = 1, 2  # the update whose operations are counted, and the first that is timed
TEXT_HZ, CHUNK_S = 4.0, 0.16  # LLM tokens, and so CTC units, of a second of speech
CONTEXT, IDS = 30, 300  # LLM tokens before a turn; ids that are drawn, which every LLM has
Row = dict[str, np.ndarray]


@dataclass(frozen=True)
class InMemory(Resources):
    """Resources whose LLM is there already."""

    made: Any = None  # FrozenLLM, or LlmEmbedding where that is enough

    @property
    def llm(self) -> Any:
        return self.made

    @property
    def embedding(self) -> Any:
        return self.made


def training(bench: Bench, number: str, uneven: bool = False, **options: bool) -> Figures:
    """Updates of the stage of this number as one GPU of the paper's eight makes them.

    Peak memory counts all that the process has on the device. Operations of an update are those of its matrix products,
    attention and convolutions, as torch counts them in one, layers that are computed again twice.
    uneven: rows of half to one and a half of the stage's usual length. options: of `Resources`, such as
    llm_checkpointing, where not the configuration's.
    """
    plan = planned(bench.conf, bench.work)[number]
    model, rows, row_s = build(bench, plan, options), *batch_of(bench, plan, uneven)
    batch = plan.task.build_collate_fn(plan.args, True)(rows)[1]
    steps = Steps(bench, batch, plan.args.accum_grad)
    run(bench, plan, model, steps)
    spent_s, heard_s = statistics.median(steps.spent_s), len(rows) * row_s * plan.args.accum_grad
    figures = {
        "parameters_m": round(sum(one.numel() for one in model.parameters()) / 1e6, 1),
        "trained_m": round(sum(one.numel() for one in model.parameters() if one.requires_grad) / 1e6, 1),
        "rows": len(rows),
        "row_s": row_s,
        **({"rows_are": "uneven"} if uneven else {}),
        **options,
        "batches_of_an_update": plan.args.accum_grad,
        "arithmetic": plan.args.autocast,
        "updates_timed": len(steps.spent_s),
        "update_p50_ms": round(1000 * spent_s, 3),
        "speech_s_a_second": round(heard_s / spent_s, 3),
        "update_tflop": round(steps.flop / 1e12, 9),
        "tflop_a_second": round(steps.flop / 1e12 / spent_s, 6),
    }
    return figures | utilisation(bench, plan.args.autocast, figures["tflop_a_second"]) | memory(bench)


def utilisation(bench: Bench, arithmetic: str, tflops: float) -> Figures:
    """Share of the card's peak, or why there is none."""
    if bench.peak_tflops is None:
        return {"mfu": None, "mfu_missing": "the peak of this device is not known: give --peak_tflops"}
    if arithmetic != "bfloat16":
        return {
            "mfu": None,
            "mfu_missing": f"the card's peak is that of bfloat16, and this stage trains in {arithmetic}",
        }
    return {"mfu": round(tflops / bench.peak_tflops, 4)}


def memory(bench: Bench) -> Figures:
    if bench.device.type != "cuda":
        return {"peak_memory_gb": None, "peak_memory_missing": "torch counts it on a GPU alone"}
    return {"peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)}


@cache
def planned(conf: Path, work: Path) -> dict[str, Plan]:
    """By the stages' numbers: tasks and options, each completed by the stages that it builds on, in `work`."""
    for one in STAGES:
        import_module(f"freeze_omni.tasks.{one.name}")  # a missing package is an ImportError here
    parser = argparse.ArgumentParser()
    add_plan_options(parser)
    add_run_options(parser)
    chosen = parser.parse_args(["--conf", str(conf), "--work", str(work), "--adapters", ADAPTER])
    return {plan.stage.number: plan for plan in plans(chosen, {})}


def build(bench: Bench, plan: Plan, options: Mapping[str, bool]) -> PartsModel:
    """The model in training on the device, with random weights; settles the task's options."""
    args, task = plan.args, plan.task
    config, resources = task.set_up(args)
    args.ngpu = int(bench.device.type == "cuda")
    task.settle_options(args)
    given = InMemory(**{**vars(resources), **options}, made=frozen(bench, plan.stage.name))
    with torch.device(bench.device):
        parts = task.build_parts(config, given)
    model = task.assemble(config, parts, given)
    model.autocast = autocast_dtype(args.autocast, bench.device.type)
    return model.to(bench.device)


def frozen(bench: Bench, stage: str) -> Any:
    """What the stage has of the LLM."""
    if stage in ("adapter", "dialogue", "prefix"):
        return bench.llm
    if stage != "speech_decoder":
        return None
    sizes = bench.size.llm["vocab_size"], bench.size.llm["hidden_size"]
    return LlmEmbedding(0.02 * torch.randn(sizes, dtype=torch.bfloat16, device=bench.device), None)


def batch_of(bench: Bench, plan: Plan, uneven: bool) -> tuple[list[tuple[str, Row]], float]:
    """What one of the paper's GPUs gets of a batch, and the mean seconds of its rows, which are all of one length
    unless they are to be uneven."""
    name, args = plan.stage.name, plan.args
    row_s = {**ROW_S, **bench.size.row_s}[name]
    by_length = args.batch_type == "length"
    count = args.batch_bins / 16000 / row_s if by_length else args.batch_size
    draw, count = np.random.default_rng(0), max(1, round(count / GPUS))
    spread = np.linspace(0.5, 1.5, count) if uneven and count > 1 else np.ones(count)
    rows = [("row", ROWS[name](draw, float(row_s * share))) for share in spread]
    if name == "codec":
        row_s = plan.model["segment_s"]  # all that is copied of a row
    return rows, row_s


def _sound(draw: np.random.Generator, seconds: float, hz: int = 16000) -> np.ndarray:
    return 0.1 * draw.standard_normal(round(hz * seconds)).astype(np.float32)


def _ids(draw: np.random.Generator, count: float, most: int = IDS) -> np.ndarray:
    return draw.integers(2, most, max(1, round(count)))


def _encoder_row(draw: np.random.Generator, row_s: float) -> Row:
    units = _ids(draw, TEXT_HZ * row_s)
    return {"speech": _sound(draw, row_s), "text": units, "spelling": units[:1]}


def _adapter_row(draw: np.random.Generator, row_s: float) -> Row:
    text = _ids(draw, TEXT_HZ * row_s)
    return {"speech": _sound(draw, row_s), "text": text, "units": text}


def _dialogue_row(draw: np.random.Generator, row_s: float) -> Row:
    """The second round of a dialogue whose rounds are alike; the first is read as speech."""
    text = _ids(draw, TEXT_HZ * row_s)
    answer = _ids(draw, 2 * TEXT_HZ * row_s)
    opening = [_ids(draw, CONTEXT), answer]
    earlier = _sound(draw, row_s)
    return {
        "speech": _sound(draw, row_s),
        "states": np.arange(int(row_s / CHUNK_S)) % STATES,
        "context": np.concatenate(opening),
        "question": text,
        "answer": answer,
        "opening": np.concatenate(opening),
        "opening_sizes": np.array([len(one) for one in opening]),
        "earlier": earlier,
        "earlier_sizes": np.array([len(earlier)]),
    }


def _codec_row(draw: np.random.Generator, row_s: float) -> Row:
    return {"speech": _sound(draw, row_s, hz=24000)}


def _speech_decoder_row(draw: np.random.Generator, row_s: float) -> Row:
    return {"text": _ids(draw, TEXT_HZ * row_s), "tokens": _ids(draw, 40 * row_s)}


def _prefix_row(draw: np.random.Generator, row_s: float) -> Row:
    """A segment of an answer of twice its length."""
    spoken = _speech_decoder_row(draw, row_s)
    count = len(spoken["text"])
    turn = {"context": _ids(draw, 3 * CONTEXT), "answer": _ids(draw, 2 * count), "segment": np.array([0, count])}
    return spoken | turn


ROWS: Mapping[str, Callable[[np.random.Generator, float], Row]] = {
    "encoder": _encoder_row,
    "adapter": _adapter_row,
    "dialogue": _dialogue_row,
    "codec": _codec_row,
    "speech_decoder": _speech_decoder_row,
    "prefix": _prefix_row,
}


class Steps:
    """The iterator of a training: the same batch again and again, until enough updates are timed.

    spent_s: of each update that is timed. flop: operations of one update.
    """

    def __init__(self, bench: Bench, batch: Mapping[str, torch.Tensor], batches: int) -> None:
        self.bench, self.batch, self.batches = bench, batch, batches
        self.spent_s: list[float] = []
        self.flop = 0

    def __iter__(self) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        most = self.bench.size.repeats
        for update in itertools.count():
            if len(self.spent_s) >= most or self.spent_s and self.bench.is_over:
                return
            self.bench.synchronise()
            begin_s = time.perf_counter()
            with FlopCounterMode(display=False) if update == COUNTED else nullcontext() as counter:
                for _ in range(self.batches):
                    yield ["row"], dict(self.batch)
            self.bench.synchronise()
            if update == COUNTED:
                self.flop = counter.get_total_flops()
            if update >= FIRST:
                self.spent_s.append(time.perf_counter() - begin_s)


def run(bench: Bench, plan: Plan, model: PartsModel, steps: Steps) -> None:
    """Train as an epoch of ESPnet's trainer does. Raises RuntimeError if no update has a finite gradient."""
    task, args = plan.task, plan.args
    optimizers = task.build_optimizers(args, model)
    batches = iter(steps)
    try:
        with Reporter().observe("train", 1) as reporter:
            invalid = task.trainer.train_one_epoch(
                model=model,
                iterator=batches,
                optimizers=optimizers,
                schedulers=[None] * len(optimizers),
                scaler=None,
                reporter=reporter,
                summary_writer=None,
                options=task.trainer.build_options(args),
                distributed_option=DistributedOption(),
            )
    finally:
        batches.close()  # operations are counted no longer, whatever has ended the training
    if invalid:
        raise RuntimeError("no update had a finite gradient")
