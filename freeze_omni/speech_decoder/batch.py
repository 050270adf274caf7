"""The next speech token of several users at once, each with its own cache: no cache is joined, padded or copied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.speech_decoder import cache as kv
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.layer import rotary_tables
from freeze_omni.speech_decoder.sampling import OF_SAMPLING, SamplingConfig, sample
from freeze_omni.streaming import State, join_states, split_state


@torch.inference_mode()
def advance_rows(
    decoder: SpeechDecoder, sampling: SamplingConfig, states: Sequence[State], generators: Sequence[torch.Generator]
) -> list[tuple[int, State]]:
    """Next token and state of each row (`generate.begin`), drawn by its own generator; caches change in place."""
    logits, decoded = _step(decoder, states)
    before = join_states([{key: state[key] for key in OF_SAMPLING} for state in states])
    token, chosen = sample(logits, before, decoder.config, sampling, list(generators))
    rows = split_state(chosen | {"last": token})
    return [
        (code, state | {key: value.clone() for key, value in row.items()})
        for code, state, row in zip(token.tolist(), decoded, rows, strict=True)
    ]


def _step(decoder: SpeechDecoder, states: Sequence[State]) -> tuple[Tensor, list[State]]:
    """Logits (B, V + 4) of what follows each row's last token, and the rows' decoder states."""
    slots = [int(state["length"]) for state in states]
    caches = [kv.with_room(state["cache"], slot + 1) for state, slot in zip(states, slots, strict=True)]
    x = decoder.embedding(torch.cat([state["last"] for state in states]))[:, None]
    if decoder.config.reading == "told":
        heard = [decoder.reading(one["script"], one["ends"], one["position"][:, None]) for one in states]
        x = x + torch.cat(heard)
    positions = torch.cat([state["position"] for state in states])
    rotary = rotary_tables(positions[:, None], decoder.head_size)
    for index, layer in enumerate(decoder.ar):
        query, key, value = layer.project(x, rotary)
        contexts = []
        for row, (cache, slot) in enumerate(zip(caches, slots, strict=True)):
            cache[0, index, 0, :, slot] = key[row, :, 0].to(cache.dtype)
            cache[0, index, 1, :, slot] = value[row, :, 0].to(cache.dtype)
            seen = cache[:, index, :, :, : slot + 1]
            contexts.append(F.scaled_dot_product_attention(query[row : row + 1], seen[:, 0], seen[:, 1]))
        x = layer.finish(x, torch.cat(contexts))
    logits = decoder.output(decoder.norm(x[:, 0]))
    after = [
        {**state, "cache": cache, "length": state["length"] + 1, "position": state["position"] + 1}
        for state, cache in zip(states, caches, strict=True)
    ]
    return logits, after
