"""Learned keys and values before every layer of an LLM (prefix tuning, P-tuning v2; arXiv 2101.00190, 2110.07602).

They take the first positions of every dialogue: what the LLM reads follows them, with and without a cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from freeze_omni.llm.cache import GrowingLayer, LlmCache, cache_argument


@dataclass(frozen=True)
class LearnedPrefixConfig:
    """positions: of the prefix."""

    positions: int = 16

    def __post_init__(self) -> None:
        if self.positions < 1:
            raise ValueError("prefix: positions must be 1 or more")


class LearnedPrefix(nn.Module):
    """keys and values (heads, positions, dim) of every layer.

    They start as the LLM's own keys and values of a text (`start`), so that its attention sees something known.
    """

    def __init__(self, config: LearnedPrefixConfig, model: nn.Module, start: Tensor | None = None):
        """start (1, P, E): embeddings of that text, repeated to fill the prefix; None draws noise.

        Raises ValueError for an LLM with layers that keep no keys.
        """
        super().__init__()
        self.positions = config.positions
        width = model.get_input_embeddings().weight
        if start is None:
            start = torch.randn(1, 1, width.shape[1], device=width.device)
        repeats = -(-config.positions // start.shape[1])
        layers = read_layers(model, start.repeat(1, repeats, 1)[:, : config.positions])
        self.keys = nn.ParameterList(layer.keys[0].float().clone() for layer in layers)
        self.values = nn.ParameterList(layer.values[0].float().clone() for layer in layers)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The LLM is unchanged: the prefix is in the cache."""
        yield

    @torch.no_grad()
    def begin(self, cache: LlmCache, rows: int, dtype: torch.dtype) -> None:
        """Put the prefix into an empty cache of this number of rows; leave another as it is."""
        if cache.length == 0:
            for layer, (key, value) in zip(cache.layers, self._of_rows(rows), strict=True):
                layer.update(key.to(dtype), value.to(dtype))

    def learning_cache(self, cache: LlmCache, rows: int, dtype: torch.dtype) -> LlmCache:
        """`cache`, which is empty, with the prefix in it, and gradient from what is read after it."""
        for number, (key, value) in enumerate(self._of_rows(rows)):
            layer = DynamicLayer()
            layer.is_sliding = cache.layers[number].is_sliding
            layer.update(key.to(dtype), value.to(dtype))
            cache.layers[number] = layer
        return cache

    def _of_rows(self, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        for key, value in zip(self.keys, self.values, strict=True):
            yield key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1)


@torch.no_grad()
def read_layers(model: nn.Module, embeds: Tensor) -> list[Any]:
    """The cache's layers after a pass over embeds (1, P, E). Raises ValueError if one of them keeps no keys."""
    cache, decoder = LlmCache(model.config), model.get_decoder()
    decoder(inputs_embeds=embeds.to(model.dtype), use_cache=True, **cache_argument(decoder, cache))
    for layer in cache.layers:
        if not isinstance(layer, GrowingLayer):
            raise ValueError(f"prefix: a {type(layer).__name__} of the LLM's cache keeps no keys: use lora")
    return cache.layers
