"""Low-rank adapters on the attention of an LLM (LoRA, arXiv 2106.09685), whose own weights never change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class LoraConfig:
    """rank: of each adapter. alpha: what an adapter adds is scaled by alpha / rank. projections: endings of the
    names of the layers that get one, as q_proj; none names all projections of the attention."""

    rank: int = 8
    alpha: float = 16.0
    projections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError("lora: rank must be 1 or more, alpha positive")


def attention_projections(model: nn.Module, endings: Sequence[str] = ()) -> dict[str, nn.Module]:
    """The linear layers inside the attention modules of any transformers model, by name, in the model's order.

    Raises ValueError if there are none, or an ending names none.
    """
    inside = [name for name, module in model.named_modules() if type(module).__name__.endswith("Attention")]
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and any(name.startswith(parent + ".") for parent in inside)
    }
    names = ", ".join(sorted({name.split(".")[-1] for name in found}))
    for ending in endings:
        if not any(name.endswith(ending) for name in found):
            raise ValueError(f"lora: no projection of the attention ends in '{ending}'; there are: {names or 'none'}")
    if not found:
        raise ValueError(f"lora: {type(model).__name__} has no attention module with linear layers")
    return {name: module for name, module in found.items() if not endings or name.endswith(tuple(endings))}


class Lora(nn.Module):
    """Adds up(down(x)) * alpha / rank to each projection's output while it is applied; nothing at first.

    A down (rank, inputs) and an up (outputs, rank) for each projection, numbered in the model's order.
    """

    positions = 0

    def __init__(self, config: LoraConfig, model: nn.Module):
        super().__init__()
        self.scale = config.alpha / config.rank
        self._layers = tuple(attention_projections(model, config.projections).values())  # no submodules of this one
        sizes = [_sizes(layer) for layer in self._layers]
        self.down = nn.ParameterList(torch.empty(config.rank, inputs) for inputs, _ in sizes)
        self.up = nn.ParameterList(torch.zeros(outputs, config.rank) for _, outputs in sizes)
        for down in self.down:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the LLM computes with the adapters."""
        pairs = zip(self._layers, self.down, self.up, strict=True)
        handles = [layer.register_forward_hook(partial(self._add, down, up)) for layer, down, up in pairs]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, cache: Any, rows: int, dtype: torch.dtype) -> None:
        """Nothing precedes a dialogue."""

    def _add(self, down: Tensor, up: Tensor, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        low = inputs[0].to(down.dtype) @ down.T
        return output + (self.scale * (low @ up.T)).to(output.dtype)


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer; a Conv1D (GPT-2's kind) has its weight the other way round."""
    outputs, inputs = module.weight.shape[::-1] if isinstance(module, Conv1D) else module.weight.shape
    return inputs, outputs
