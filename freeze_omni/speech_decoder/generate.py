"""From a segment's text to its speech tokens: token by token, for one user or several, or a whole batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.attention import rotary_tables
from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder import cache as kv
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.sampling import OF_SAMPLING, Generators, SamplingConfig, initial_sampling, sample
from freeze_omni.streaming import State, join_states, split_state


@torch.inference_mode()
def begin(
    decoder: SpeechDecoder,
    sampling: SamplingConfig,
    text: Tensor,
    hidden: Tensor | None = None,
    text_lengths: Tensor | None = None,
    hidden_lengths: Tensor | None = None,
) -> State:
    """Flat state of decoder and sampling for text (B, N, E), hidden (B, M, E), before any token."""
    if text_lengths is None:
        text_lengths = torch.full((len(text),), text.shape[1], device=text.device)
    state = decoder.start(text, hidden, text_lengths, hidden_lengths)
    drawn = initial_sampling(text_lengths * getattr(decoder.nar_rows, "rows", 1), decoder.config, sampling)
    return state | drawn | {"last": torch.full_like(text_lengths, decoder.config.sos)}


@torch.inference_mode()
def advance(
    decoder: SpeechDecoder, sampling: SamplingConfig, state: State, generator: Generators = None
) -> tuple[Tensor, State]:
    """The next token (B,) of each row. A row that ended may be stepped on with the others."""
    logits, after = decoder.step(state["last"], state)
    token, chosen = sample(logits, {key: state[key] for key in OF_SAMPLING}, decoder.config, sampling, generator)
    return token, after | chosen | {"last": token}


@torch.inference_mode()
def advance_rows(
    decoder: SpeechDecoder, sampling: SamplingConfig, states: Sequence[State], generators: Sequence[torch.Generator]
) -> list[tuple[int, State]]:
    """Next token and state of each row (`begin`), by its own generator and in its own cache, which changes in place."""
    logits, decoded = _step_rows(decoder, states)
    before = join_states([{key: state[key] for key in OF_SAMPLING} for state in states])
    token, chosen = sample(logits, before, decoder.config, sampling, list(generators))
    rows = split_state(chosen | {"last": token})
    return [
        (code, state | {key: value.clone() for key, value in row.items()})
        for code, state, row in zip(token.tolist(), decoded, rows, strict=True)
    ]


def _step_rows(decoder: SpeechDecoder, states: Sequence[State]) -> tuple[Tensor, list[State]]:
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


@torch.inference_mode()
def generate(
    decoder: SpeechDecoder,
    text: Tensor,
    hidden: Tensor | None = None,
    sampling: SamplingConfig | None = None,
    generator: torch.Generator | None = None,
    max_tokens: int | None = None,
) -> Iterator[int]:
    """Speech tokens of one segment but the eos: text (N, E), hidden (M, E); at most max_tokens and max_positions."""
    sampling = sampling or SamplingConfig()
    state = begin(decoder, sampling, text[None], None if hidden is None else hidden[None])
    for _ in range(_room(decoder, sampling, state, max_tokens)):
        token, state = advance(decoder, sampling, state, generator)
        code = int(token)
        if code == decoder.config.eos:
            return
        yield code


@torch.inference_mode()
def generate_batch(
    decoder: SpeechDecoder,
    texts: Sequence[Tensor],
    hiddens: Sequence[Tensor] | None = None,
    sampling: SamplingConfig | None = None,
    generator: Generators = None,
    max_tokens: int | None = None,
) -> list[Tensor]:
    """Speech tokens (T_i,) of several segments, given as (N_i, E) and (M_i, E); eos excluded."""
    sampling = sampling or SamplingConfig()
    text, text_lengths = pad_rows(texts)
    hidden, hidden_lengths = pad_rows(hiddens) if hiddens is not None else (None, None)
    state = begin(decoder, sampling, text, hidden, text_lengths, hidden_lengths)
    done = torch.zeros_like(text_lengths, dtype=torch.bool)
    columns: list[Tensor] = []
    for _ in range(_room(decoder, sampling, state, max_tokens)):
        token, state = advance(decoder, sampling, state, generator)
        columns.append(token)
        done = done | (token == decoder.config.eos)
        if bool(done.all()):
            break
    said = torch.stack(columns, dim=1)
    ends = (said == decoder.config.eos).cumsum(dim=1) > 0
    return [row[~end] for row, end in zip(said, ends, strict=True)]


def _room(decoder: SpeechDecoder, sampling: SamplingConfig, state: State, most: int | None) -> int:
    """Tokens that may still be generated: the row with the most text decides for all."""
    room = decoder.config.max_positions - int(state["rows"].max()) - 2
    return max(0, min(room, sampling.max_tokens if most is None else most))
