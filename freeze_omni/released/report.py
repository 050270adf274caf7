"""What an import says: every group of tensors, what became of it, totals, voice and licence."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from torch import Tensor

from freeze_omni.released import codec, listen, speech_decoder
from freeze_omni.released.checkpoint import Released
from freeze_omni.released.files import read_checkpoint, read_tensors

_DIALOGUE = {
    "prompt_embeddings.weight": "prompt.weight",
    "predictor_head.weight": "state_head.output.weight",
    "predictor_head.bias": "state_head.output.bias",
}
_SHAPES_SHOWN = 4


def report(released: Released) -> Iterator[str]:
    """The lines of the report on a folder that was read."""
    for file, (tensors, ours) in _files(released).items():
        total = sum(tensor.numel() for tensor in tensors.values())
        yield f"{file}: {len(tensors)} tensors, {total:,} numbers"
        groups = defaultdict(list)  # names that differ in a number alone stand together
        for name in tensors:
            groups[_pattern(name)].append(name)
        for pattern, names in groups.items():
            targets = dict.fromkeys(_pattern(ours[name]) for name in names if name in ours)
            became = f"-> {', '.join(targets)}" if targets else "left out"
            yield f"  {pattern:<62} {len(names):>3} x {_shapes([tensors[name] for name in names])}  {became}"
    yield "left out:"
    for name, reason in released.left_out.items():
        yield f"  {name}: {reason}"
    if not released.left_out:
        yield "  nothing"
    yield from (f"note: {note}" for note in released.notes)
    yield "parameters:"
    sizes = _sizes(released.state)
    for part, size in sizes.items():
        yield f"  {part:<16}{size:>14,}"
    yield f"  {'all':<16}{sizes.total():>14,}"
    tokens = " ".join(map(str, released.state["voice"].flatten().tolist()))
    yield f"voice: global tokens {tokens}" if released.has_voice else "voice: none in model.json"


def _files(released: Released) -> dict[str, tuple[dict[str, Tensor], dict[str, str]]]:
    """File: (its tensors, their names -> ours)."""
    folder, config = released.folder, released.config
    heard = listen.read_listen_config(folder / "audiollm" / "train.yaml")
    names = {theirs: ours for ours, theirs in listen.names(heard).items()} | _DIALOGUE
    groups_of = speech_decoder.names(config.speech_decoder)
    spoken = {theirs: f"speech_decoder.{ours}" for ours, group in groups_of.items() for theirs in group}
    groups = read_checkpoint(folder / "codec" / "final.pt")
    sounds = {f"{group}.{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    left_out = {name.partition(": ")[2] for name in released.left_out}
    return {
        "audiollm/final.pt": (read_checkpoint(folder / "audiollm" / "final.pt"), names),
        "decoder/final.pt": (read_tensors(folder / "decoder" / "final.pt", "model"), spoken),
        "codec/final.pt": (sounds, {name: f"codec.{codec.our_name(name)}" for name in sounds if name not in left_out}),
    }


def _pattern(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _shapes(tensors: list[Tensor]) -> str:
    different = list(dict.fromkeys(tuple(tensor.shape) for tensor in tensors))
    shown = ", ".join(map(str, different[:_SHAPES_SHOWN]))
    return shown + (f" and {len(different) - _SHAPES_SHOWN} more" if len(different) > _SHAPES_SHOWN else "")


def _sizes(state: Mapping[str, Tensor]) -> Counter[str]:
    """Part: its numbers, without what only counts or follows in training."""
    sizes: Counter[str] = Counter()
    for name, tensor in state.items():
        if name != "voice" and not name.endswith((".counts", ".sums", ".started", "num_batches_tracked")):
            sizes[name.split(".")[0]] += tensor.numel()
    return sizes
