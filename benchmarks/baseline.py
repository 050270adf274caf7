"""The released way of working, written for comparison: whole caches are copied at every step and at every token.

Same weights, same results (which `benchmarks.released` checks); only what is done with the past differs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from freeze_omni.attention import rotary_tables
from freeze_omni.encoder.attention import TABLE, sinusoids
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.llm.cache import cache_argument
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.speech_decoder.decoder import SpeechDecoder

Pairs = list[tuple[Tensor, Tensor]]


class EncoderBaseline:
    """One stream through the encoder; keys and values of all blocks in one tensor, joined and cut at every step."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self.encoder, config = encoder, encoder.config
        self.heads, self.head_size = config.heads, config.head_size
        self.cache = torch.zeros(config.layers, 1, self.heads, 0, 2 * self.head_size)
        self.before = torch.zeros(1, 3, config.input_size)
        self.first = 0
        self.table = sinusoids(torch.arange(TABLE), config.size)

    def step(self, feats: Tensor) -> Tensor:
        """Raw features (1, 16, input_size) to frames (1, 4, size)."""
        encoder, config = self.encoder, self.encoder.config
        whole = torch.cat([self.before, feats], dim=1)
        self.before = whole[:, -3:]
        x = encoder.embed(encoder.subsampling(encoder.cmvn(whole))) * encoder.scale
        used = self.cache.shape[3] + x.shape[1]
        window = (config.left_chunks + 1) * config.chunk_frames
        most = config.chunk_frames * (TABLE // config.chunk_frames) - window
        start = max(0, self.first % most - window)
        places, caches = self.table[None, start : start + used], []
        for block, past in zip(encoder.blocks, self.cache, strict=True):
            x, after = self._block(block, x, past, places)
            caches.append(after)
        self.cache = torch.stack(caches)[:, :, :, -config.left_frames :].clone()
        self.first += x.shape[1]
        return encoder.after_norm(x)

    def _block(self, block: torch.nn.Module, x: Tensor, past: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        attention, normed = block.attention, block.norm1(x)
        query, key, value = (self._split(part(normed)) for part in (attention.query, attention.key, attention.value))
        old_key, old_value = past.chunk(2, dim=-1)
        key, value = torch.cat([old_key, key], dim=2), torch.cat([old_value, value], dim=2)
        place = self._split(attention.place(places))
        by_content = (query + attention.bias_u[:, None]) @ key.transpose(-2, -1)
        by_place = (query + attention.bias_v[:, None]) @ place.transpose(-2, -1)
        weights = ((by_content + by_place) / math.sqrt(self.head_size)).softmax(-1)
        x = x + attention.out((weights @ value).transpose(1, 2).flatten(2))
        return x + block.feed_forward(block.norm2(x)), torch.cat([key, value], dim=-1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)


class LlmBaseline:
    """transformers' own cache, which copies all of the past for every new position."""

    def __init__(self, llm: FrozenLLM, read: Tensor) -> None:
        self.llm, self.cache = llm, DynamicCache(config=llm.model.config)
        self.step(read)

    def step(self, embeds: Tensor) -> Tensor:
        """Embeddings (1, P, E) to hidden states."""
        decoder = self.llm.model.get_decoder()
        return decoder(inputs_embeds=embeds, use_cache=True, **cache_argument(decoder, self.cache)).last_hidden_state


class SpeechBaseline:
    """Greedy tokens after text and hidden states (1, N, E); each token's keys are joined to all before."""

    def __init__(self, decoder: SpeechDecoder, text: Tensor, hidden: Tensor) -> None:
        self.decoder, self.pairs = decoder, _read(decoder, text, hidden)
        self.place, self.token = text[0].numel() // decoder.config.size + 1, decoder.config.sos

    def step(self) -> int:
        """The next token."""
        self.token, self.pairs = _next(self.decoder, self.token, self.place, self.pairs)
        self.place += 1
        return self.token


def _read(decoder: SpeechDecoder, text: Tensor, hidden: Tensor) -> Pairs:
    state = decoder.start(text, hidden)
    length = int(state["length"][0])
    return [(layer[0, :, :length][None], layer[1, :, :length][None]) for layer in state["cache"][0]]


def _next(decoder: SpeechDecoder, token: int, place: int, pairs: Pairs) -> tuple[int, Pairs]:
    x = decoder.embedding(torch.tensor([[token]]))
    rotary, joined = rotary_tables(torch.tensor([[place]]), decoder.head_size), []
    for layer, (keys, values) in zip(decoder.ar, pairs, strict=True):
        query, key, value = layer.project(x, rotary)
        joined.append((torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)))
        x = layer.attend(x, query, *joined[-1], None)
    logits = decoder.output(decoder.norm(x[:, 0]))
    config = decoder.config
    logits[:, [config.bos, config.sos, config.pad, config.eos]] = -torch.inf
    return int(logits.argmax(-1)), joined
