"""The paper's sizes in few bits on a CPU: a step of the encoder, an LLM token, a second of speech tokens.

    python -m benchmarks.full_size [--threads 2] [--layers 8]

Ours over the released way of working in float32 (`benchmarks/baseline.py`, which copies whole caches), on the same
random weights, in turns, in one run: `encoder_step`, `llm_token`, `speech_second` in docs/benchmarks/speed.json, and
under `full_size` all that was measured. The LLM has the layers of Qwen2-7B, as many as fit into half of the free
memory (their number is written): each does the same work, so a ratio of some layers is that of all. Its output matrix
is left out. Minutes; on an idle machine.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.device.sizes import QWEN2_7B, ROOT, TOY_LLM
from benchmarks.generated import put_figures
from benchmarks.turns import RELEASED, ROWS, TOKENS, Spent, apart, encoder_steps, llm_tokens, median_ms, speech_tokens
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.provenance import provenance
from freeze_omni.quantised import FewBits, quantise
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.system import FEW_BITS

OUTPUT = ROOT / "docs/benchmarks/speed.json"
BYTES = 4 + 2 + 1  # of a weight: in float32, float16 and 8 bits


@dataclass(frozen=True)
class Sizes:
    """llm: of a Qwen2; how many of its layers: `fitting_layers`. context: its positions read before."""

    llm: Mapping[str, int]
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(positions="released", start="zero_features"))
    speech_decoder: SpeechDecoderConfig = field(default_factory=lambda: SpeechDecoderConfig(text_rows="reshape"))
    context: int = 512
    repeats: int = 15


SIZES = {
    "released": Sizes(QWEN2_7B | {"vocab_size": 32}),
    "toy": Sizes(
        TOY_LLM,
        EncoderConfig(size=32, layers=2, heads=2, ffn_size=64, positions="released"),
        SpeechDecoderConfig(size=16, heads=2, ffn_size=32, layers=1, pre_layers=1, text_rows="reshape"),
        context=8,
        repeats=2,
    ),
}
Figures = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="released", help="toy: to see that it runs")
    options.add_argument("--layers", type=int, help="of the LLM; default: as many as fit into half of the free memory")
    options.add_argument("--bits", choices=get_args(FewBits), default="int8", help="whose ratios the three keys have")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--output", type=Path, default=OUTPUT)
    return options


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    options = parser()
    chosen = options.parse_args(arguments)
    if chosen.size == "toy" and chosen.output.resolve() == OUTPUT.resolve():
        options.error(f"--size toy is no result: give another --output than {OUTPUT.name} in docs")
    if chosen.layers is not None and chosen.layers < 1:
        options.error("--layers must be 1 or more")
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    started_s, sizes = time.time(), SIZES[chosen.size]
    layers = chosen.layers or fitting_layers(sizes.llm, free_bytes() // 2)
    print(f"{chosen.size} size, {layers} layers of the LLM, {chosen.threads} threads", flush=True)
    found: dict[str, Figures] = {}
    for name, measure in (
        ("encoder_step", encoder_step),
        ("llm_token", partial(llm_token, layers=layers)),
        ("speech_second", speech_second),
    ):
        found[name] = measure(sizes)
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    ratios = {name: one[chosen.bits]["ratio"] for name, one in found.items()}
    details = {**found, "size": chosen.size, "bits": chosen.bits, "llm_layers": layers}
    put_figures(chosen.output, ratios | {"full_size": details | {"made": provenance(chosen.seed, started_s)}})
    print(json.dumps(ratios, indent=1))


def encoder_step(sizes: Sizes) -> Figures:
    """A step of 160 ms of one stream whose cache is full."""
    encoder = SpeechEncoder(sizes.encoder).eval()
    ours, errors = both_kinds(encoder, FEW_BITS["encoder"]), Errors()
    return figures(encoder_steps(ours, encoder, sizes.repeats, errors.note), errors)


def speech_second(sizes: Sizes) -> Figures:
    """40 times a token after 48 + 48 rows; the error is that of the first token's logits."""
    width = sizes.llm["hidden_size"]
    decoder = SpeechDecoder(sizes.speech_decoder, width).eval()
    ours, errors = both_kinds(decoder, FEW_BITS["speech_decoder"]), Errors()
    text, hidden = torch.randn(2, 1, ROWS, width).unbind()
    sos = torch.tensor([sizes.speech_decoder.sos])
    every = ours | {RELEASED: decoder}
    errors.note({name: one.step(sos, one.start(text, hidden))[0] for name, one in every.items()})
    spent = speech_tokens(ours, decoder, width, max(3, sizes.repeats // 5), lambda found: None)
    return figures(spent, errors, TOKENS)


def llm_token(sizes: Sizes, layers: int) -> Figures:
    """A token after `context` positions, through `layers` layers."""
    config = AutoConfig.for_model("qwen2", **(dict(sizes.llm) | {"num_hidden_layers": layers}))
    llm = FrozenLLM(AutoModelForCausalLM.from_config(config))
    ours, errors = both_kinds(llm), Errors()
    return figures(llm_tokens(ours, llm, sizes.context, sizes.repeats, errors.note), errors)


class Errors:
    """How far each way is from the released one, at most."""

    def __init__(self) -> None:
        self.most: dict[str, float] = {}

    def note(self, found: dict[str, Any]) -> None:
        for name in found.keys() - {RELEASED}:
            self.most[name] = max(self.most.get(name, 0.0), apart(found[name], found[RELEASED]))


def both_kinds[M: nn.Module](part: M, keep: Sequence[str] = ()) -> dict[str, M]:
    """Copies in each kind of few bits that share all other weights. keep: as of `quantise`."""
    copies = {}
    for bits in get_args(FewBits):
        copies[bits] = copy.deepcopy(part, {id(weight): weight for weight in part.parameters()})
        quantise(copies[bits], bits, keep)
    return copies


def figures(spent: Spent, errors: Errors, times: int = 1) -> Figures:
    """Medians, ratios over the released way, and the largest error."""
    taken_ms = {name: times * value for name, value in median_ms(spent).items()}
    whole = taken_ms.pop(RELEASED)
    return {"released_ms": round(whole, 2)} | {
        name: {"ms": round(value, 2), "ratio": round(value / whole, 3), "error": round(errors.most[name], 5)}
        for name, value in taken_ms.items()
    }


def fitting_layers(llm: Mapping[str, int], room_bytes: int) -> int:
    """Layers of an LLM, at least one and not more than it has, that fit in all three forms."""
    with torch.device("meta"):
        config = AutoConfig.for_model("qwen2", **(dict(llm) | {"num_hidden_layers": 1}))
        layer = AutoModelForCausalLM.from_config(config).model.layers[0]
    size = BYTES * sum(weight.numel() for weight in layer.parameters())
    return max(1, min(llm["num_hidden_layers"], room_bytes // size))


def free_bytes() -> int:
    """Memory that programs may still take. Raises OSError where /proc/meminfo is missing: give --layers."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    raise OSError("/proc/meminfo names no MemAvailable: give --layers")


if __name__ == "__main__":
    main()
