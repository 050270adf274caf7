"""Attention of the encoder: which frames a frame sees, and two kinds of positions.

`RotaryAttention` is relative by rotation, so a stream may last for ever. `ReleasedAttention` is that of the released
checkpoints: Transformer-XL scores without the shift, and a quirk. The score of a query and a key is
((q + u) k + (q + v) p) / sqrt(d), where p belongs to the key's place in the window. The places start to move one chunk
later than the window does, and restart when a table of 5000 is used up. Trained weights rely on that.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from freeze_omni.attention import Rotary, attend, rotary_tables, rotate
from freeze_omni.encoder.config import RELEASED_TABLE as TABLE
from freeze_omni.encoder.config import EncoderConfig

BASE = 10000.0


def chunk_start(frames: Tensor, chunk_frames: int) -> Tensor:
    """First frame of the chunk that each frame is in; 0 for an infinite chunk (chunk_frames 0)."""
    if chunk_frames == 0:
        return torch.zeros_like(frames)
    return frames.div(chunk_frames, rounding_mode="floor") * chunk_frames


def visible(queries: Tensor, keys: Tensor, chunk_frames: int, left_frames: int) -> Tensor:
    """May the query frame see the key frame? (..., Q), (..., K) to (..., Q, K) bool.

    A frame sees its whole chunk and a fixed look-back before it. Frames are counted from the start of the stream; keys
    before it (negative) are never seen. With an infinite chunk (0) everything else is, both ways.
    """
    query, key = queries[..., :, None], keys[..., None, :]
    if chunk_frames == 0:
        return (key >= 0).expand(*torch.broadcast_shapes(query.shape, key.shape))
    start = chunk_start(query, chunk_frames)
    return (key >= 0) & (key >= start - left_frames) & (key < start + chunk_frames)


class Attention(nn.Module):
    """Multi-head attention over cached keys and values; subclasses add positions."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.size, config.size)
        self.key = nn.Linear(config.size, config.size)
        self.value = nn.Linear(config.size, config.size)
        self.out = nn.Linear(config.size, config.size)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, T, H, head_size) of frames x (B, T, size), as they are cached."""
        return self.key(x).unflatten(-1, (self.heads, -1)), self.value(x).unflatten(-1, (self.heads, -1))


class RotaryAttention(Attention):
    """Keys are cached before they are turned: only distances count, so angles stay small however old a stream is."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.dropout = config.attention_dropout

    @staticmethod
    def places(config: EncoderConfig, queries: Tensor, keys: Tensor, chunk_frames: int) -> Rotary:
        """Angles of the frames of a call, oldest key first; the same for rows of any age."""
        return rotary_tables(torch.arange(keys.shape[-1], device=keys.device)[None], config.head_size)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, places: Rotary) -> Tensor:
        """Attend from the newest frames x (B, Q, size) to keys and values (B, K, H, head_size).

        mask (B or 1, Q, K) bool, True where seen; places: of the class's `places`. Returns (B, Q, size).
        """
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        cosine, sine = (table[:, :, -x.shape[1] :] for table in places)
        query, keys = rotate(query, (cosine, sine)), rotate(keys.transpose(1, 2), places)
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, keys, values.transpose(1, 2), mask[:, None], dropout)
        return self.out(attended.transpose(1, 2).flatten(2))


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


class ReleasedAttention(Attention):
    """With learned biases u and v (heads, head_size) and places for keys."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
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

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, places: Places) -> Tensor:
        """As `RotaryAttention.forward`."""
        query = self.query(x).unflatten(-1, (self.heads, -1))
        by_content = torch.einsum("bqhd,bkhd->bhqk", query + self.bias_u, keys)
        by_place = self._by_place(query + self.bias_v, places.table.to(x.dtype))
        index = places.index[:, None].expand(len(x), self.heads, -1, -1)
        scores = (by_content + by_place.gather(-1, index)) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
        attended = torch.einsum("bhqk,bkhd->bqhd", self.dropout(weights), values)
        return self.out(attended.flatten(2))

    def _by_place(self, query: Tensor, table: Tensor) -> Tensor:
        """Products (B, H, Q, U) of queries (B, Q, H, head_size) and places (U, size), in the order that costs less."""
        rows, size, used = query.shape[0] * query.shape[1], table.shape[1], len(table)
        if rows * (size + self.heads * used) < used * (size + rows):
            weight = self.place.weight.unflatten(0, (self.heads, -1))
            return torch.einsum("bqhd,hds->bhqs", query, weight) @ table.T
        place = self.place(table).unflatten(-1, (self.heads, -1))
        return torch.einsum("bqhd,uhd->bhqu", query, place)


ATTENTION: dict[str, Any] = {"rotary": RotaryAttention, "released": ReleasedAttention}
