"""From a segment's text to its speech tokens: token by token, for one user or several, or a whole batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from freeze_omni.attention import attend, rotary_tables
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.speech_decoder import cache as kv
from freeze_omni.speech_decoder.decoder import SpeechDecoder, clock_of
from freeze_omni.speech_decoder.multi_token import due, wait
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
    state = decoder.start(text, hidden, text_lengths, hidden_lengths, tokens_per_pass=sampling.tokens_per_pass)
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
    if "waited" not in states[0]:
        hidden, after = _read_rows(decoder, [state["last"][:, None] for state in states], states)
    else:
        kinds: dict[int, list[int]] = {}
        for row, state in enumerate(states):
            kinds.setdefault(int(state["waited"]), []).append(row)
        found: dict[int, State] = {}
        for rows in kinds.values():
            found |= zip(rows, _step_alike(decoder, [states[row] for row in rows]), strict=True)
        after = [found[row] for row in range(len(states))]
        hidden = torch.cat([state["hidden"] for state in after])
    after = [state | {"position": state["position"] + 1} for state in after]
    return decoder.output(decoder.norm(hidden)), after


def _step_alike(decoder: SpeechDecoder, states: Sequence[State]) -> list[State]:
    """States that have waited alike, after their last token: all read by the AR, or all by one module."""
    tokens = [due(state["last"], state) for state in states]
    if tokens[0] is None:
        spoken, _ = _inputs(decoder, [state["last"][:, None] for state in states], states)
        module = decoder.multi_token[int(states[0]["waited"])]
        hidden = module(torch.cat([state["hidden"] for state in states]), spoken[:, 0])
        return [
            state | {"hidden": row} | wait(state["last"], state)
            for state, row in zip(states, hidden.split(1), strict=True)
        ]
    hidden, after = _read_rows(decoder, tokens, states)
    return [
        state | {"hidden": row, "waited": torch.zeros_like(state["waited"])}
        for state, row in zip(after, hidden.split(1), strict=True)
    ]


def _read_rows(decoder: SpeechDecoder, tokens: Sequence[Tensor], states: Sequence[State]) -> tuple[Tensor, list[State]]:
    """The AR reads tokens (1, K) of each row, in its own cache: last states (B, D), and the rows' states."""
    count = tokens[0].shape[1]
    ends = [int(state["length"]) + count for state in states]
    caches = [kv.with_room(state["cache"], end) for state, end in zip(states, ends, strict=True)]
    x, clock = _inputs(decoder, tokens, states)
    rotary = rotary_tables(clock, decoder.head_size)
    own = torch.arange(1 - count, 1, device=x.device)
    masks = [None if count == 1 else valid_mask(end + own, end) for end in ends]  # one token sees everything
    for index, layer in enumerate(decoder.ar):
        query, key, value = layer.project(x, rotary)
        contexts = []
        for row, (cache, end) in enumerate(zip(caches, ends, strict=True)):
            cache[0, index, 0, :, end - count : end] = key[row].to(cache.dtype)
            cache[0, index, 1, :, end - count : end] = value[row].to(cache.dtype)
            seen = cache[:, index, :, :, :end]
            contexts.append(attend(query[row : row + 1], seen[:, 0], seen[:, 1], masks[row]))
        x = layer.finish(x, torch.cat(contexts))
    after = [
        state | {"cache": cache, "length": state["length"] + count} for state, cache in zip(states, caches, strict=True)
    ]
    return x[:, -1], after


def _inputs(decoder: SpeechDecoder, tokens: Sequence[Tensor], states: Sequence[State]) -> tuple[Tensor, Tensor]:
    """What the AR reads (B, K, D) of tokens (1, K) of each row, and their positions (B, K)."""
    clocks = [clock_of(*row) for row in zip(tokens, states, strict=True)]
    x = decoder.embedding(torch.cat(list(tokens)))
    if decoder.config.reading == "told":
        timed = zip(states, clocks, strict=True)
        x = x + torch.cat([decoder.reading(state["script"], state["ends"], clock) for state, clock in timed])
    return x, torch.cat(clocks)


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
