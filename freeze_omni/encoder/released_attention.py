"""Attention as in the released checkpoints: Transformer-XL scores without the shift, and a quirk.

The score of a query and a key is ((q + u) k + (q + v) p) / sqrt(d), where p belongs to the key's
place in the window. The places start to move one chunk later than the window does, and start anew
when a table of 5000 is used up. Trained weights rely on that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.encoder.config import RELEASED_TABLE, EncoderConfig
from freeze_omni.encoder.window import chunk_start

TABLE = RELEASED_TABLE
BASE = 10000.0


class Places(NamedTuple):
    """Sinusoids (U, size) of the distinct places in use, and which of them (B or 1, Q, K) take."""

    table: Tensor
    index: Tensor


def sinusoids(places: Tensor, size: int) -> Tensor:
    """(U,) to (U, size): sines in the even columns, cosines in the odd ones."""
    powers = torch.arange(0, size, 2, device=places.device, dtype=torch.float32)
    angles = places.float()[:, None] * torch.exp(powers * -(math.log(BASE) / size))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def key_places(queries: Tensor, keys: Tensor, chunk_frames: int, left_frames: int) -> Tensor:
    """Place (..., Q, K) of each key as seen from each query's chunk; frames as in `visible`."""
    if chunk_frames == 0:
        return keys[..., None, :].expand(*keys.shape[:-1], queries.shape[-1], -1).clamp_min(0)
    first_new = chunk_start(queries, chunk_frames)
    window = left_frames + chunk_frames
    turn_round = chunk_frames * (TABLE // chunk_frames) - window
    offset = (first_new % turn_round - window).clamp_min(0)
    oldest = (first_new - left_frames).clamp_min(0)
    return (keys[..., None, :] + (offset - oldest)[..., :, None]).clamp_min(0)


class ReleasedAttention(nn.Module):
    """Multi-head attention with learned biases u and v (heads, head_size) and places for keys."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.size, config.size)
        self.key = nn.Linear(config.size, config.size)
        self.value = nn.Linear(config.size, config.size)
        self.out = nn.Linear(config.size, config.size)
        self.place = nn.Linear(config.size, config.size, bias=False)
        self.bias_u = nn.Parameter(torch.empty(config.heads, config.head_size))
        self.bias_v = nn.Parameter(torch.empty(config.heads, config.head_size))
        self.dropout = nn.Dropout(config.attention_dropout)
        nn.init.xavier_uniform_(self.bias_u)
        nn.init.xavier_uniform_(self.bias_v)

    @staticmethod
    def places(config: EncoderConfig, queries: Tensor, keys: Tensor, chunk_frames: int) -> Places:
        """Sinusoids of every place that a call needs, once for all blocks."""
        places = key_places(queries, keys, chunk_frames, config.left_frames)
        # a hidden key (future, or too old) may take any place: keep the table small
        used, index = places.clamp_max(TABLE if chunk_frames else 1 << 30).unique(return_inverse=True)
        return Places(sinusoids(used, config.size), index)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, T, H, head_size) of frames x (B, T, size), as they are cached."""
        return (self.key(x).unflatten(-1, (self.heads, -1)), self.value(x).unflatten(-1, (self.heads, -1)))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, places: Places) -> Tensor:
        """As `RotaryAttention.forward`, with the `places` of this class."""
        query = self.query(x).unflatten(-1, (self.heads, -1))
        by_content = torch.einsum("bqhd,bkhd->bhqk", query + self.bias_u, keys)
        by_place = self._by_place(query + self.bias_v, places.table.to(x.dtype))
        index = places.index[:, None].expand(len(x), self.heads, -1, -1)
        scores = (by_content + by_place.gather(-1, index)) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
        attended = torch.einsum("bhqk,bkhd->bqhd", self.dropout(weights), values)
        return self.out(attended.flatten(2))

    def _by_place(self, query: Tensor, table: Tensor) -> Tensor:
        """Products (B, H, Q, U) of queries (B, Q, H, head_size) with the projected places (U, size).

        (query weight) table for the few frames of a step, query (weight table) for whole utterances: whichever
        multiplies less.
        """
        rows, size, used = query.shape[0] * query.shape[1], table.shape[1], len(table)
        if rows * (size + self.heads * used) < used * (size + rows):
            weight = self.place.weight.unflatten(0, (self.heads, -1))
            return torch.einsum("bqhd,hds->bhqs", query, weight) @ table.T
        place = self.place(table).unflatten(-1, (self.heads, -1))
        return torch.einsum("bqhd,uhd->bhqu", query, place)
