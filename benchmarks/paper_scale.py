#!/usr/bin/env python3
"""What conf/paper asks for on 8 GPUs, and conf/gpu on one, stage by stage: hours seen, updates, memory and time.

    python -m benchmarks.paper_scale [--scale gpu] [--tflops 100] [--throughput 1.1=1500 1.2=160]

Nothing is trained: sizes and activations are those of the models on the meta device, and times follow from the
arithmetic of a step and --tflops, what a GPU sustains, unless --throughput gives what you measured (seconds of speech
in a batch, by a GPU's share, through `train_time` of train.log). Writes docs/paper_scale.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.device.sizes import QWEN2_7B
from benchmarks.generated import put
from freeze_omni.bin.stages import stage_options
from freeze_omni.config import as_mapping
from freeze_omni.eval.report import table
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.recompute import decoder_layers, recomputed
from freeze_omni.stages import OF_PAPER, Stage, sources, words
from freeze_omni.tasks.parts_model import parameter_count

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "egs/TEMPLATE/s2s1/conf"
GPUS, ADAPTER = 8, "conv"
# Seconds of speech of a row, for batches that are counted in rows (assumed), and of dialogue data.
ROW_S = {"dialogue": 5.0, "codec": 6.0, "speech_decoder": 6.0, "prefix": 8.0}
QWEN2_5_1_5B = {
    "vocab_size": 151936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
QWEN2_5_72B = {
    "vocab_size": 152064,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
LLMS = {"Qwen2.5-1.5B": QWEN2_5_1_5B, "Qwen2-7B": QWEN2_7B, "Qwen2.5-72B": QWEN2_5_72B}


@dataclass(frozen=True)
class Scale:
    """conf/<name> and what it is for: hours of speech with text to hear and to speak, dialogue turns.

    tflops: 10^12 operations a second that a GPU is taken to sustain; narrow matrices sustain less.
    """

    name: str
    gpus: int
    llm: str
    tflops: float
    listening_h: float
    speaking_h: float
    turns: int

    @property
    def hours(self) -> dict[str, float]:
        """Of the data of each stage."""
        return {
            **dict.fromkeys(("encoder", "adapter"), self.listening_h),
            **dict.fromkeys(("codec", "speech_decoder"), self.speaking_h),
            **{name: self.turns * ROW_S[name] / 3600 for name in ("dialogue", "prefix")},
        }


SCALES = {
    "paper": Scale("paper", GPUS, "Qwen2-7B", 100.0, 110_000, 3_000, 60_000 * 3),
    # LibriSpeech, train-clean-360 of LibriTTS, 10,000 dialogues of three rounds
    "gpu": Scale("gpu", 1, "Qwen2.5-1.5B", 50.0, 960, 192, 10_000 * 3),
}
# Positions of a part for a second of speech; text of a row is spread over it (assumed: 4 LLM tokens a second).
HZ = {"encoder": 25.0, "ctc": 25.0, "adapter": 12.5, "state_head": 6.25, "llm": 12.5 + 4, "speech_decoder": 40.0 + 16}
TOKEN_HZ = 40  # speech tokens
POSITIONS = 16  # of the pass that activations are counted in: few, as flash attention keeps no scores
BYTES = {"trained": 16, "frozen": 4, "llm": 2}  # weight, gradient and AdamW's moments; float32; bfloat16
PASSES = {"trained": 6, "through": 4, "read": 2}  # FLOPs of a parameter at a position
COPIES, JUDGEMENTS = 3, 10  # forward passes, or as much work, of codec and discriminators in a step


@dataclass(frozen=True)
class Plan:
    """A training: part -> its parameters and how many are trained; figures of the whole.

    batch_s: seconds of speech of a batch of one GPU. through: whether a gradient passes through the LLM.
    """

    scale: Scale
    stage: Stage
    parts: Mapping[str, tuple[int, int]]
    hours: float
    updates: int
    flops: float  # of a second of speech
    batch_s: float
    through: bool
    checkpointing: bool

    @property
    def epochs(self) -> float:
        return self.hours / self.scale.hours[self.stage.name]

    @property
    def memory(self) -> Iterator[tuple[str, float]]:
        """Part, and GB of a GPU."""
        for name, (size, learned) in self.parts.items():
            frozen = BYTES["llm" if name == "llm" else "frozen"]
            yield name, (learned * BYTES["trained"] + (size - learned) * frozen) / 1e9


@dataclass(frozen=True)
class LlmPlan:
    """An LLM in bfloat16: parameters, those of its layers among them, and bytes that a position keeps for backward, as
    usual and if only the layers' inputs are kept. one_layer: bytes a position of a layer that is computed again."""

    size: int
    in_layers: int
    kept: float
    kept_again: float
    one_layer: float

    def activations(self, positions: float, checkpointing: bool) -> float:
        """GB of a batch."""
        return positions * (self.kept_again + self.one_layer if checkpointing else self.kept) / 1e9

    def sharded(self, gpus: int) -> float:
        """GB of each GPU: its share of the layers, embedding and head whole."""
        return BYTES["llm"] * (self.in_layers / gpus + self.size - self.in_layers) / 1e9


@cache
def llm_plan(name: str) -> LlmPlan:
    """By a pass of a few positions on the meta device."""
    llm = FrozenLLM.on_meta({"model_type": "qwen2", **LLMS[name]})
    llm.model.to(torch.bfloat16)
    layers = decoder_layers(llm.model.get_decoder())
    found = [kept_bytes(llm, again) / POSITIONS for again in (False, True)]
    in_layers = sum(map(parameter_count, layers))
    return LlmPlan(parameter_count(llm), in_layers, *found, found[0] / len(layers))


def kept_bytes(llm: FrozenLLM, again: bool) -> int:
    """That a pass over `POSITIONS` positions keeps for backward, weights left out; again: layers are computed again."""
    weights = {weight.untyped_storage()._cdata for weight in (*llm.parameters(), *llm.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no place is given twice

    def note(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage()._cdata] = x.untyped_storage()
        return x

    decoder, shape = llm.model.get_decoder(), (1, POSITIONS, llm.hidden_size)
    embeds = torch.empty(shape, dtype=torch.bfloat16, device=llm.model.device, requires_grad=True)
    mask = torch.ones(1, 1, POSITIONS, POSITIONS, dtype=torch.bool, device=llm.model.device)
    with (
        recomputed(decoder, nullcontext) if again else nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda x: x),
    ):
        decoder(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
    return sum(storage.nbytes() for place, storage in kept.items() if place not in weights)


def plans(scale: Scale) -> Iterator[Plan]:
    """A plan for each training stage, with the paper's adapter."""
    models: dict[Stage, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        for one in OF_PAPER:
            taken = sources(one.name, lambda source: models.get(source, {}))
            parts = words(taken, lambda source: Path(folder) / f"{source.name}.yaml")
            task, args = stage_options(one, CONF / scale.name / one.config(ADAPTER), [], parts)
            args.dry_run, args.unit_size = True, args.unit_size or 5538
            config, resources = task.set_up(args)
            models[one] = as_mapping(config)
            (Path(folder) / f"{one.name}.yaml").write_text(yaml.safe_dump({"model": models[one]}))
            with torch.device("meta"):
                built = task.build_parts(config, resources)
            yield plan(scale, one, args, built, task.trained(config, built))


def plan(
    scale: Scale, one: Stage, args: argparse.Namespace, built: Mapping[str, Any], trained: tuple[str, ...]
) -> Plan:
    sizes = {name: (parameter_count(part), 0) for name, part in built.items()}
    for path in trained:
        name, _, inner = path.partition(".")
        sizes[name] = sizes[name][0], sizes[name][1] + parameter_count(built[name].get_submodule(inner))
    through = one.name in ("adapter", "dialogue")
    if through or one.name == "prefix":
        sizes["llm"] = llm_plan(scale.llm).size, 0
    steps = args.max_epoch * args.num_iters_per_epoch
    rate = TOKEN_HZ if one.name in ("speech_decoder", "prefix") else 16000
    batch_s = args.batch_size * ROW_S[one.name] if args.batch_type != "length" else args.batch_bins / rate
    if one.name == "codec":
        batch_s, flops = args.batch_size * args.model["segment_s"], codec_flops(built, args.model["segment_s"])
    else:
        flops = sum(
            HZ.get(name, 0)
            * (
                learned * PASSES["trained"]
                + (size - learned) * PASSES["through" if name == "llm" and through else "read"]
            )
            for name, (size, learned) in sizes.items()
        )
    hours, updates = steps * batch_s / 3600, steps // args.accum_grad
    return Plan(scale, one, sizes, hours, updates, flops, batch_s / scale.gpus, through, args.llm_checkpointing)


def codec_flops(built: Mapping[str, Any], seconds: float) -> float:
    """Of a step with discriminators, for a second of speech, counted on the meta device."""
    codec, judges = built["codec"], built["discriminator"]
    samples = int(seconds * codec.config.sample_rate_hz)
    reads_lengths = codec.config.architecture == "time_domain"
    wav = torch.empty(1, samples, device="meta")
    lengths = torch.tensor([samples], device="cpu" if reads_lengths else "meta")
    with FlopCounterMode(display=False) as copying:
        latent, _, _ = codec.encoder(wav, lengths)
        voice = codec.encoder.eval().speaker(wav, lengths)
        codec.decoder(latent, voice, torch.ones(latent.shape[:2], dtype=torch.bool, device=lengths.device))
    with FlopCounterMode(display=False) as judging:
        judges(wav[:, None])
    return (COPIES * copying.get_total_flops() + JUDGEMENTS * judging.get_total_flops()) / seconds


def markdown(found: list[Plan], tflops: float, measured: Mapping[str, float]) -> str:
    """The generated part of docs/paper_scale.md for a scale."""
    budget, memory = [], []
    scale = found[0].scale
    llm = llm_plan(scale.llm)
    for one in found:
        rate = measured.get(one.stage.number, tflops * 1e12 / one.flops)
        takes_h = one.hours / (scale.gpus * rate)
        how = "measured" if one.stage.number in measured else f"{one.flops / 1e9:,.0f} GFLOP"
        name = f"{one.stage.number} {one.stage.name}"
        seen = f"{one.hours:,.0f}", f"{scale.hours[one.stage.name]:,.0f}", f"{one.epochs:.1f}", f"{one.updates:,}"
        budget.append([name, *seen, how, f"{rate:,.0f}", f"{takes_h:.1f}"])
        held = dict(one.memory)
        listed = ", ".join(f"{part} {size:.1f}" for part, size in held.items() if size >= 0.05)
        positions = one.batch_s * HZ["llm"]
        adds = [f"{llm.activations(positions, again):.1f}" if one.through else "" for again in (False, True)]
        adds[one.checkpointing] = adds[one.checkpointing] and f"**{adds[one.checkpointing]}**"
        memory.append([name, listed, f"{sum(held.values()):.1f}", *adds])
    on = f"{scale.gpus} GPUs" if scale.gpus > 1 else "one GPU"
    head = ["training", "hours seen", "hours of data", "epochs", "updates", "a second of speech", "s/s a GPU"]
    whole_h = sum(float(row[-1]) for row in budget)
    return "\n".join(
        [
            f"## Budgets of conf/{scale.name}, {on}",
            "",
            f"Hours of training are computed, not measured: at {tflops:g} TFLOP/s a GPU; {whole_h:,.0f} h in all.",
            "",
            *table([*head, f"hours on {on}"], budget),
            "### Memory a GPU in GB",
            "",
            f"Activations are those of {scale.llm} alone, of a batch, in bfloat16; what the configuration has is bold.",
            "",
            *table(["training", "parts", "together", "LLM's activations", "with llm_checkpointing"], memory),
        ]
    ).rstrip()


def large_llms() -> str:
    """Memory of frozen LLMs, by the options that reduce it."""
    rows = []
    for name in LLMS:
        one = llm_plan(name)
        whole = BYTES["llm"] * one.size / 1e9
        kept = [f"{one.activations(1000, again):.2f}" for again in (False, True)]
        rows.append([name, f"{4 * one.size / 1e9:.1f}", f"{whole:.1f}", f"{one.sharded(GPUS):.1f}", *kept])
    head = ["LLM", "float32", "bfloat16", f"llm_sharding, {GPUS} GPUs", "activations", "with llm_checkpointing"]
    return "\n".join(["In GB; activations of 1,000 positions.", "", *table(head, rows)]).rstrip()


def rates(words: list[str]) -> dict[str, float]:
    """1.1=1500 1.2=160 as a mapping."""
    return {number: float(rate) for number, rate in (word.split("=") for word in words)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, help="one of conf/; default: all")
    parser.add_argument("--tflops", type=float, help="10^12 operations a second that a GPU sustains; default: assumed")
    parser.add_argument("--throughput", nargs="*", default=[], help="STAGE=seconds of speech a second and GPU")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/paper_scale.md")
    args = parser.parse_args(arguments)
    if args.throughput and args.scale is None:
        parser.error("--throughput is of one scale: give --scale too")
    parts = {"large_llms": large_llms()}
    for scale in [SCALES[args.scale]] if args.scale else SCALES.values():
        parts[f"{scale.name}_scale"] = markdown(list(plans(scale)), args.tflops or scale.tflops, rates(args.throughput))
    for name, text in parts.items():
        put(args.output, name, text, title="# The paper's scale\n")
    print("\n\n".join(parts.values()), f"\n\nwrote {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
