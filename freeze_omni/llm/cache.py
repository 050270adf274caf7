"""Keys and values of the frozen LLM: grow in place, fork, cut back, pick rows."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

GROW_POSITIONS = 256


class GrowingLayer(DynamicLayer):
    """One layer's keys and values (B, heads, n, dim) in a buffer with room; transformers' own copies all at each token.

    A layer with a sliding window keeps its whole past too, so that it can be cut back: the mask hides the rest.
    """

    def __init__(self, is_sliding: bool = False) -> None:
        super().__init__()
        self.is_sliding = is_sliding
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_room, self._value_room = key_states[:, :, :0], value_states[:, :, :0]
        end = self.length + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            self._key_room = self._larger(self._key_room, end)
            self._value_room = self._larger(self._value_room, end)
        self._key_room[:, :, self.length : end] = key_states
        self._value_room[:, :, self.length : end] = value_states
        self._show(end)
        return self.keys, self.values

    def _larger(self, room: Tensor, end: int) -> Tensor:
        blocks = -(-max(end, room.shape[-2] * 3 // 2) // GROW_POSITIONS)
        larger = room.new_empty(*room.shape[:2], blocks * GROW_POSITIONS, room.shape[3])
        larger[:, :, : self.length] = room[:, :, : self.length]
        return larger

    def _show(self, length: int) -> None:
        self.length = length
        self.keys, self.values = self._key_room[:, :, :length], self._value_room[:, :, :length]

    def cut(self, length: int) -> None:
        if self.is_initialized:
            self._show(min(length, self.length))

    def fork(self) -> GrowingLayer:
        other = GrowingLayer(self.is_sliding)
        if self.is_initialized:
            other.lazy_initialization(self.keys, self.values)
            other._key_room, other._value_room = self.keys.clone(), self.values.clone()
            other._show(self.length)
        return other

    def pick(self, rows: Tensor) -> None:
        if self.is_initialized:
            self._key_room, self._value_room = self.keys[rows], self.values[rows]
            self._show(self.length)


class PassLayer(DynamicLayer):
    """One layer of a single pass: keys and values (B, heads, n, dim) before it, if any.

    It keeps nothing of what the pass reads, so that its layer can be computed again for the gradient.
    """

    def __init__(self, is_sliding: bool, keys: Tensor | None = None, values: Tensor | None = None) -> None:
        super().__init__()
        self.is_sliding = is_sliding
        if keys is not None:
            self.keys, self.values, self.is_initialized = keys, values, True

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            return key_states, value_states
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)


def cache_argument(decoder: nn.Module, cache: Any) -> dict[str, Any]:
    """A cache as the keyword argument that this version of transformers takes it by."""
    return {_cache_word(type(decoder)): cache}  # type: ignore[arg-type]


@lru_cache
def _cache_word(kind: type[nn.Module]) -> str:
    """Newer versions take `cache`, and warn of `past_key_values`."""
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


class LlmCache(DynamicCache):
    """What a frozen LLM has read: one value that belongs to one session (or to the rows of a batch).

    `mask` (B, length) bool tells real positions from padding, None if all are real. A layer that is not attention keeps
    transformers' own type: such an LLM works in training, and cannot be forked, cut or picked from.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.layers: list[Any] = [
            GrowingLayer(layer.is_sliding) if type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) else layer
            for layer in self.layers
        ]
        self.mask: Tensor | None = None
        self._config = config

    @property
    def length(self) -> int:
        """Positions in the cache, padding included."""
        return self.get_seq_length()

    def extend_mask(self, new: Tensor | None, batch: int, size: int) -> Tensor | None:
        """The mask of past and `size` new positions (new: (B, size) bool or None), remembered."""
        if self.mask is None and new is None:
            return None
        device = (new if self.mask is None else self.mask).device
        shapes = ((self.mask, self.length), (new, size))
        parts = [torch.ones(batch, n, dtype=torch.bool, device=device) if m is None else m for m, n in shapes]
        self.mask = torch.cat(parts, dim=1)
        return self.mask

    def fork(self) -> LlmCache:
        """An independent copy: the system turn is read once and forked for every dialogue."""
        other = LlmCache(self._config)
        other.layers = [self._growing(layer).fork() for layer in self.layers]
        other.mask = None if self.mask is None else self.mask.clone()
        return other

    def cut(self, length: int) -> None:
        """Forget all positions from `length` on, e.g. what was generated but never heard."""
        for layer in self.layers:
            self._growing(layer).cut(length)
        self.mask = None if self.mask is None else self.mask[:, :length]

    def pick(self, rows: Tensor) -> None:
        """Keep the rows of the index tensor, in its order."""
        for layer in self.layers:
            self._growing(layer).pick(rows)
        self.mask = None if self.mask is None else self.mask[rows]

    @staticmethod
    def _growing(layer: object) -> GrowingLayer:
        if not isinstance(layer, GrowingLayer):
            raise NotImplementedError(
                f"a {type(layer).__name__} of the LLM's cache cannot be forked, cut or reordered; "
                "use an LLM that is attention in every layer"
            )
        return layer
