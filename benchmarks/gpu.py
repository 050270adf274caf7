#!/usr/bin/env python3
"""The full-size system on one GPU: serving steps, and training steps with memory and model FLOP utilisation.

    python -m benchmarks.gpu [--budget_s 450] [--peak_tflops 989] [--rows train_1.1 train_2.2]
    python -m benchmarks.gpu --size toy --output toy.json      # the same code at toy widths, on any machine

Random weights: the paper's configuration (conf/paper) around an LLM of Qwen2-7B's shape in bfloat16, all made on the
device. Nothing is downloaded. Torch and transformers are all that serving rows need; training rows need espnet (its
version is in pyproject.toml) and editdistance, by pip or a folder of wheels. Stage 1.2 is also trained with its LLM's
layers computed again in backward, and on rows of uneven lengths, packed and padded. Writes docs/benchmarks/gpu.json;
what could not be measured is there with its reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.device import serving
from benchmarks.device.bench import Bench, Figures
from benchmarks.device.cards import peak_tflops
from benchmarks.device.sizes import ROOT, SIZES, conf_folder
from freeze_omni.config import one_line
from freeze_omni.provenance import provenance

OUTPUT = ROOT / "docs/benchmarks/gpu.json"
LEAST_S = 5.0  # a row is not begun with less
MOST_S = 60.0
OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
TOY = "toy widths: these figures say only that the benchmark runs"


@dataclass(frozen=True)
class Row:
    """measure: gives the figures. keeps: what is left on the device from rows before."""

    name: str
    measure: Callable[[Bench], Figures]
    keeps: tuple[str, ...] = ()


def train(bench: Bench, number: str, **options: bool) -> Figures:
    from benchmarks.device.training import training  # needs ESPnet

    return training(bench, number, **options)


SERVING = ("streaming_step", "llm_token", "speech_second", "first_audio", "sessions_at_limit")
WITH_LLM, WITHOUT_LLM = ("1.2", "1.3", "2.3"), ("1.1", "2.2", "2.1")
OF_1_2 = {  # what options of a large LLM give, next to train_1.2
    "checkpointing": {"llm_checkpointing": True},
    "uneven": {"uneven": True, "llm_packing": True},
    "uneven_padded": {"uneven": True, "llm_packing": False},
}
ROWS = (
    *(Row(name, getattr(serving, name), ("llm", "model")) for name in SERVING),
    *(Row(f"train_{number}", partial(train, number=number), ("llm",)) for number in WITH_LLM),
    *(Row(f"train_1.2_{name}", partial(train, number="1.2", **options), ("llm",)) for name, options in OF_1_2.items()),
    *(Row(f"train_{number}", partial(train, number=number)) for number in WITHOUT_LLM),
)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.name for row in ROWS]
    options.add_argument("--size", choices=SIZES, default="released", help="toy: any device, for tests")
    options.add_argument("--budget_s", type=float, default=450.0, help="seconds for all rows")
    options.add_argument("--peak_tflops", type=float, help="the card's dense bfloat16 peak; default: by a small table")
    options.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    options.add_argument("--output", type=Path, default=OUTPUT)
    options.add_argument("--commit", help="of the source, where it is no git checkout")
    options.add_argument("--seed", type=int, default=0)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if a row was ended by a fault; memory, budget and missing packages are none. Exits with 2 for wrong options."""
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.size == "toy" and chosen.output.resolve() == OUTPUT.resolve():
        options.error(f"--size toy is no result: give another --output than {OUTPUT.name} in docs")
    if chosen.size != "toy" and not torch.cuda.is_available():
        options.error("no CUDA device: torch finds none; --size toy --output FILE runs anywhere")
    record, faults = measured(chosen)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{len(record['rows'])} rows, {len(record['missing'])} missing; wrote {chosen.output}")
    return int(faults)


def measured(chosen: argparse.Namespace, rows: Sequence[Row] = ROWS) -> tuple[dict[str, Any], bool]:
    """The record of all rows, and whether one was ended by a fault."""
    started_s, size = time.time(), SIZES[chosen.size]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card = torch.cuda.get_device_name() if device.type == "cuda" else None
    peak = chosen.peak_tflops or (peak_tflops(card) if card else None)
    torch.manual_seed(chosen.seed)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        bench = Bench(size, device, conf_folder(size, work), work, peak)
        found, missing, faults = run(bench, [row for row in rows if row.name in chosen.rows], chosen.budget_s)
    missing |= {row.name: "not asked for (--rows)" for row in rows if row.name not in chosen.rows}
    made = provenance(chosen.seed, started_s)
    record = {
        "size": chosen.size,
        **({"toy": TOY} if chosen.size == "toy" else {}),
        "card": card,
        "card_memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1) if card else None,
        "card_peak_bf16_tflops": peak,
        "llm": dict(size.llm),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "rows": found,
        "missing": missing,
        "made": made | ({"commit": chosen.commit} if chosen.commit else {}),
    }
    return record, faults


def run(bench: Bench, rows: Sequence[Row], budget_s: float) -> tuple[dict[str, Figures], dict[str, str], bool]:
    """Figures by row, reasons of missing rows, and whether one of these is a fault. A row has its share of the time
    that is left, so that one that is late costs those after it a little each."""
    end_s = time.monotonic() + budget_s
    found: dict[str, Figures] = {}
    missing: dict[str, str] = {}
    faults = False
    for number, row in enumerate(rows):
        left_s = end_s - time.monotonic()
        bench.ends_s = time.monotonic() + min(MOST_S, left_s / (len(rows) - number))
        begin_s = time.monotonic()
        try:
            bench.keep(*row.keeps)
            if left_s < LEAST_S:
                missing[row.name] = f"the {budget_s:g} s of --budget_s were spent"
            else:
                found[row.name] = row.measure(bench)
        except OUT_OF_MEMORY as error:
            missing[row.name] = f"out of memory: {one_line(error)}"
        except ImportError as error:
            missing[row.name] = f"{one_line(error)}; --help says what is needed"
        except Exception as error:  # the rows after it can still be measured
            traceback.print_exc()
            missing[row.name], faults = f"{type(error).__name__}: {one_line(error)}", True
        said = json.dumps(found[row.name]) if row.name in found else f"missing: {missing[row.name]}"
        print(f"{row.name} ({time.monotonic() - begin_s:.1f} s): {said}", flush=True)
    return found, missing, faults


if __name__ == "__main__":
    sys.exit(main())
