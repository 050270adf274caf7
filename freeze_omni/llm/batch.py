"""Several dialogues through the frozen LLM in one pass, each with its own cache, none of them padded or copied.

The new positions of all rows follow one another in a batch of one. Attention alone goes row by row, over that row's own
keys. So rows of any age, prefills and single tokens alike, share a pass, and none depends on the others. Training reads
its batches in the same way, after caches of `PassLayer`s; on a GPU with flash attention, all rows at once.
"""

import sys
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from freeze_omni.llm.cache import LlmCache, PassLayer, cache_argument

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # an older torch
    varlen_attn = None

PREFIX = "packed_"


def filling(rows: int) -> int:
    """Rows of zeros to add: matrix products of two or three rows take longer on a CPU than of four."""
    return 4 - rows if rows in (2, 3) else 0


class PackedRows(Cache):
    """Takes keys and values of a packed pass apart and puts each row's into its own cache."""

    def __init__(self, caches: Sequence[LlmCache], sizes: Sequence[int]) -> None:
        super().__init__(layers=[])
        self.caches, self.sizes, self.filling = caches, list(sizes), filling(sum(sizes))
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.ends: tuple[Tensor, ...] | None = None
        self.fresh = all(isinstance(layer, PassLayer) for cache in caches for layer in cache.layers)
        self._masks: dict[tuple[int, int, int | None, int], Tensor | None] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Keys and values (1, heads, total, dim) of one layer; remembers what each row may look at."""
        pieces = zip(self.split(key_states), self.split(value_states), self.caches, strict=True)
        self.seen = [cache.layers[layer_idx].update(key, value) for key, value, cache in pieces]
        return key_states, value_states

    def mask(self, queries: int, keys: int, window: int | None, groups: int, device: torch.device) -> Tensor | None:
        """That of `groups` heads of a row, (groups * queries, keys); made once for all layers."""
        kind = queries, keys, window, groups
        if kind not in self._masks:
            mask = _mask(queries, keys, window, device)
            self._masks[kind] = None if mask is None else mask.repeat(groups, 1)
        return self._masks[kind]

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """(1, heads, total, dim) to that of each row, without what fills up."""
        return x[:, :, : sum(self.sizes)].split(self.sizes, 2)


def read_packed(model: Any, embeds: Sequence[Tensor], caches: Sequence[LlmCache]) -> list[Tensor]:
    """(P_i, E) of each row to hidden states; every cache, of one row without padding, grows by its row's positions.

    One cache of `PassLayer`s, which does not grow, may be that of all rows.
    """
    _switch(model)
    rows = PackedRows(caches, [len(row) for row in embeds])
    fill = embeds[0].new_zeros(rows.filling, embeds[0].shape[1])
    device, decoder = embeds[0].device, model.get_decoder()
    ages = zip((cache.length for cache in caches), rows.sizes, strict=True)
    positions = [torch.arange(age, age + size) for age, size in ages]
    positions = torch.cat([*positions, torch.zeros(rows.filling, dtype=torch.long)]).to(device)
    output = decoder(
        inputs_embeds=torch.cat([row.to(model.dtype) for row in (*embeds, fill)])[None],
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),  # so that none is built
        position_ids=positions[None],
        use_cache=True,
        packed_rows=rows,
        **cache_argument(decoder, rows),
    )
    return list(output.last_hidden_state[0, : sum(rows.sizes)].split(rows.sizes))


def _switch(model: Any) -> None:
    """Let the model's attention know packed passes; passes of other kinds stay what they were."""
    config = model.config.get_text_config(decoder=True)
    usual = config._attn_implementation
    if usual.startswith(PREFIX):
        return

    def attention(module: nn.Module, *args: Any, packed_rows: PackedRows | None = None, **kwargs: Any) -> Any:
        if packed_rows is not None:
            return _attend(module, args[0], packed_rows, **kwargs), None
        plain = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        return ALL_ATTENTION_FUNCTIONS.get_interface(usual, plain)(module, *args, **kwargs)

    AttentionInterface.register(PREFIX + usual, attention)
    AttentionMaskInterface.register(PREFIX + usual, ALL_MASK_ATTENTION_FUNCTIONS[usual])
    config._attn_implementation = PREFIX + usual


def _attend(
    module: nn.Module,
    query: Tensor,
    rows: PackedRows,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """Queries (1, heads, total, dim), row by row over the row's own keys, to (1, total, heads, dim)."""
    if s_aux is not None:
        raise NotImplementedError(f"{type(module).__name__} has attention sinks, which packed passes do not know")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if rows.fresh and softcap is None and _has_varlen(query):
        return _attend_together(query, rows, scaling, sliding_window)
    pairs = zip(rows.split(query), rows.seen, strict=True)
    parts = [_attend_row(part, *seen, rows, scaling, sliding_window, softcap) for part, seen in pairs]
    parts.append(parts[0].new_zeros(1, query.shape[1], rows.filling, parts[0].shape[3]))
    return torch.cat(parts, dim=2).transpose(1, 2)


def _has_varlen(query: Tensor) -> bool:
    """Whether flash attention of rows of any lengths is there: for half precision, on an Ampere or newer."""
    if varlen_attn is None or not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    return torch.cuda.get_device_capability(query.device) >= (8, 0) and query.shape[-1] <= 256


def _attend_together(query: Tensor, rows: PackedRows, scaling: float, window: int | None) -> Tensor:
    """As `_attend`, by one kernel for all rows."""
    own = query[0, :, : sum(rows.sizes)].transpose(0, 1)
    keys, values = (torch.cat(parts, dim=2)[0].transpose(0, 1) for parts in zip(*rows.seen, strict=True))
    seen = [key.shape[2] for key, _ in rows.seen]
    if rows.ends is None:  # once for all layers: a copy to the device waits for what it does
        rows.ends = tuple(
            torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=query.device)
            for sizes in (rows.sizes, seen)
        )
    out = varlen_attn(
        own.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        *rows.ends,
        max(rows.sizes),
        max(seen),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=True,
    )
    return F.pad(out, (0, 0, 0, 0, 0, rows.filling))[None]


def _attend_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: PackedRows,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """(1, heads, P, dim) over keys (1, key heads, K, dim), the last P of which are the queries' own."""
    _, heads, size, dim = query.shape
    groups = heads // key.shape[1]
    mask = rows.mask(size, key.shape[2], window, groups, query.device)
    # the queries that share a key head follow one another, so no key is repeated
    query = query.reshape(1, key.shape[1], groups * size, dim)
    if softcap is None:
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    else:
        scores = softcap * torch.tanh(query @ key.transpose(2, 3) * scaling / softcap)
        scores = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
        out = scores.float().softmax(-1).to(value.dtype) @ value
    return out.reshape(1, heads, size, -1)


def _mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """(queries, keys) bool, True where a query may look; None for everywhere."""
    if queries == 1 and (window is None or keys <= window):
        return None
    own, seen = torch.arange(keys - queries, keys, device=device)[:, None], torch.arange(keys, device=device)
    return (seen <= own) if window is None else (seen <= own) & (seen > own - window)
