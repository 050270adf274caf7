"""From a segment's text to its speech tokens: one user token by token, or a whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.sampling import OF_SAMPLING, Generators, SamplingConfig, initial_sampling, sample
from freeze_omni.streaming import State


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
def generate(
    decoder: SpeechDecoder,
    text: Tensor,
    hidden: Tensor | None = None,
    sampling: SamplingConfig | None = None,
    generator: torch.Generator | None = None,
    max_tokens: int | None = None,
) -> Iterator[int]:
    """Yield the speech tokens of one segment, eos excluded, as they come.

    text: LLM embeddings (N, E); hidden: hidden states (M, E) for the prefix.
    max_tokens: default sampling.max_tokens; never more than max_positions allows.
    """
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
