#!/usr/bin/env python3
"""What conf/paper asks for, stage by stage: hours seen, epochs, updates, memory and time on 8 GPUs.

    python -m benchmarks.paper_scale [--tflops 100] [--throughput 1.1=1500 1.2=160]

Nothing is trained: sizes are those of the models on the meta device, and times follow from the arithmetic of a step and
--tflops, what a GPU sustains, unless --throughput gives what you measured (seconds of speech in a batch, by a GPU's
share, through `train_time` of train.log). Writes docs/paper_scale.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.generated import put
from freeze_omni.bin.stages import stage_options
from freeze_omni.config import as_mapping
from freeze_omni.eval.report import table
from freeze_omni.stages import STAGES, Stage, sources, words
from freeze_omni.tasks.parts_model import parameter_count

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "egs/TEMPLATE/s2s1/conf/paper"
GPUS, ADAPTER = 8, "conv"
LLM = 7.62e9  # parameters of Qwen2-7B-Instruct
# The paper's data: hours, and for batches that are counted in rows seconds of speech of a row (assumed).
LISTENING_H, TURNS, SPEAKING_H = 110_000, 60_000 * 3, 3_000
ROW_S = {"dialogue": 5.0, "codec": 6.0, "speech_decoder": 6.0, "prefix": 8.0}
DATA_H = {
    **dict.fromkeys(("encoder", "adapter"), LISTENING_H),
    **dict.fromkeys(("codec", "speech_decoder"), SPEAKING_H),
    **{name: TURNS * ROW_S[name] / 3600 for name in ("dialogue", "prefix")},
}
# Positions of a part for a second of speech; text of a row is spread over it (assumed: 4 LLM tokens a second).
HZ = {"encoder": 25.0, "ctc": 25.0, "adapter": 12.5, "state_head": 6.25, "llm": 12.5 + 4, "speech_decoder": 40.0 + 16}
BYTES = {"trained": 16, "frozen": 4, "llm": 2}  # weight, gradient and AdamW's moments; float32; bfloat16
PASSES = {"trained": 6, "through": 4, "read": 2}  # FLOPs of a parameter at a position
COPIES, JUDGEMENTS = 3, 10  # forward passes, or as much work, of codec and discriminators in a step


@dataclass(frozen=True)
class Plan:
    """A training: part -> its parameters and how many are trained; figures of the whole."""

    stage: Stage
    parts: Mapping[str, tuple[int, int]]
    hours: float
    updates: int
    flops: float  # of a second of speech

    @property
    def epochs(self) -> float:
        return self.hours / DATA_H[self.stage.name]

    @property
    def memory(self) -> Iterator[tuple[str, float]]:
        """Part, and GB of a GPU."""
        for name, (size, learned) in self.parts.items():
            frozen = BYTES["llm" if name == "llm" else "frozen"]
            yield name, (learned * BYTES["trained"] + (size - learned) * frozen) / 1e9


def plans() -> Iterator[Plan]:
    """A plan for each training stage, with the paper's adapter."""
    models: dict[Stage, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        for one in STAGES:
            taken = sources(one.name, models.__getitem__)
            parts = words(taken, lambda source: Path(folder) / f"{source.name}.yaml")
            task, args = stage_options(one, CONF / one.config(ADAPTER), [], parts)
            args.dry_run, args.unit_size = True, args.unit_size or 5538
            config, resources = task.set_up(args)
            models[one] = as_mapping(config)
            (Path(folder) / f"{one.name}.yaml").write_text(yaml.safe_dump({"model": models[one]}))
            with torch.device("meta"):
                built = task.build_parts(config, resources)
            yield plan(one, args, built, task.trained(config, built))


def plan(one: Stage, args: argparse.Namespace, built: Mapping[str, Any], trained: tuple[str, ...]) -> Plan:
    sizes = {name: (parameter_count(part), 0) for name, part in built.items()}
    for path in trained:
        name, _, inner = path.partition(".")
        sizes[name] = sizes[name][0], sizes[name][1] + parameter_count(built[name].get_submodule(inner))
    if one.name in ("adapter", "dialogue", "prefix"):
        sizes["llm"] = int(LLM), 0
    steps = args.max_epoch * args.num_iters_per_epoch
    batch_s = args.batch_size * ROW_S[one.name] if args.batch_type != "length" else args.batch_bins / 16000
    if one.name == "codec":
        batch_s, flops = args.batch_size * args.model["segment_s"], codec_flops(built, args.model["segment_s"])
    else:
        through = "read" if one.name == "prefix" else "through"
        flops = sum(
            HZ.get(name, 0)
            * (learned * PASSES["trained"] + (size - learned) * PASSES[through if name == "llm" else "read"])
            for name, (size, learned) in sizes.items()
        )
    return Plan(one, sizes, steps * batch_s / 3600, steps // args.accum_grad, flops)


def codec_flops(built: Mapping[str, Any], seconds: float) -> float:
    """Of a step with discriminators, for a second of speech, counted on the meta device."""
    codec, judges = built["codec"], built["discriminator"]
    samples = int(seconds * codec.config.sample_rate_hz)
    wav, lengths = torch.empty(1, samples, device="meta"), torch.tensor([samples])
    with FlopCounterMode(display=False) as copying:
        latent, _, _ = codec.encoder(wav, lengths)
        voice = codec.encoder.eval().speaker(wav, lengths)
        codec.decoder(latent, voice, torch.ones(latent.shape[:2], dtype=torch.bool))
    with FlopCounterMode(display=False) as judging:
        judges(wav[:, None])
    return (COPIES * copying.get_total_flops() + JUDGEMENTS * judging.get_total_flops()) / seconds


def markdown(found: list[Plan], tflops: float, measured: Mapping[str, float]) -> str:
    """The generated part of docs/paper_scale.md."""
    budget, memory = [], []
    for one in found:
        rate = measured.get(one.stage.number, tflops * 1e12 / one.flops)
        takes_h = one.hours / (GPUS * rate)
        how = "measured" if one.stage.number in measured else f"{one.flops / 1e9:,.0f} GFLOP"
        name = f"{one.stage.number} {one.stage.name}"
        seen = f"{one.hours:,.0f}", f"{DATA_H[one.stage.name]:,.0f}", f"{one.epochs:.1f}", f"{one.updates:,}"
        budget.append([name, *seen, how, f"{rate:,.0f}", f"{takes_h:.1f}"])
        held = dict(one.memory)
        listed = ", ".join(f"{part} {size:.1f}" for part, size in held.items() if size >= 0.05)
        memory.append([name, listed, f"{sum(held.values()):.1f}"])
    head = [
        "training",
        "hours seen",
        "hours of data",
        "epochs",
        "updates",
        "a second of speech",
        "s/s a GPU",
        f"hours on {GPUS} GPUs",
    ]
    return "\n".join(
        [
            f"## Budgets, {GPUS} GPUs",
            "",
            f"Hours of training are computed, not measured: at {tflops:g} TFLOP/s a GPU.",
            "",
            *table(head, budget),
            "## Memory a GPU in GB, without activations",
            "",
            *table(["training", "parts", "together"], memory),
        ]
    ).rstrip()


def rates(words: list[str]) -> dict[str, float]:
    """1.1=1500 1.2=160 as a mapping."""
    return {number: float(rate) for number, rate in (word.split("=") for word in words)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=100.0, help="10^12 operations a second that a GPU sustains")
    parser.add_argument("--throughput", nargs="*", default=[], help="STAGE=seconds of speech a second and GPU")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/paper_scale.md")
    args = parser.parse_args(arguments)
    text = markdown(list(plans()), args.tflops, rates(args.throughput))
    put(args.output, "paper_scale", text, title="# The paper's scale\n")
    print(f"{text}\n\nwrote {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
