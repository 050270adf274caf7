"""Ways of doing the same work, timed step by step in turns, so that what else the machine does slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.baseline import EncoderBaseline, LlmBaseline, SpeechBaseline
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.generate import advance, begin
from freeze_omni.speech_decoder.sampling import SamplingConfig

RELEASED = "released"
ROWS = 12  # LLM tokens of a segment: 48 rows at full size
TOKENS = 40  # one second
WARM_UP = 5

Ways = Mapping[str, Callable[[int], Any]]
"""By name: step number -> what the step gives."""
Spent = dict[str, list[float]]
"""Seconds of the steps of each way."""


def take_turns(ways: Ways, steps: int, check: Callable[[dict[str, Any]], None] = lambda found: None) -> Spent:
    """Each step of all ways, which go first in turns; check: of what they gave."""
    spent: Spent = {name: [] for name in ways}
    names = list(ways)
    for number in range(steps):
        first = number % len(names)
        found = {}
        for name in names[first:] + names[:first]:
            begin_s = time.perf_counter()
            found[name] = ways[name](number)
            spent[name].append(time.perf_counter() - begin_s)
        check(found)
    return spent


def last(spent: Spent, repeats: int) -> Spent:
    return {name: times[-repeats:] for name, times in spent.items()}


def median_ms(spent: Spent) -> dict[str, float]:
    return {name: 1000 * statistics.median(times) for name, times in spent.items()}


def apart(found: Tensor, exact: Tensor) -> float:
    """How far tensors are apart, as a share of the exact one's norm."""
    return float((found - exact).norm() / exact.norm())


class EncoderStream:
    """One user's stream through an encoder."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self.encoder, self.state = encoder, encoder.initial_state(1)

    def step(self, feats: Tensor) -> Tensor:
        frames, self.state = self.encoder.step(feats, self.state)
        return frames


def encoder_steps(
    ours: Mapping[str, SpeechEncoder], encoder: SpeechEncoder, repeats: int, check: Callable[[dict[str, Any]], None]
) -> Spent:
    """Steps of 160 ms of streams whose caches are full. encoder: that of the released way."""
    config = encoder.config
    full = config.left_chunks + config.left_chunks // 2
    shape = 1, config.chunk_frames * config.downsample, config.input_size
    feats = [torch.randn(shape) + 12 for _ in range(full + repeats)]
    streams = {name: EncoderStream(one) for name, one in ours.items()} | {RELEASED: EncoderBaseline(encoder)}

    def way(stream: EncoderStream | EncoderBaseline) -> Callable[[int], Any]:
        return lambda number: stream.step(feats[number])

    ways = {name: way(stream) for name, stream in streams.items()}
    return last(take_turns(ways, len(feats), check), repeats)


def llm_tokens(
    ours: Mapping[str, FrozenLLM],
    llm: FrozenLLM,
    context: int,
    repeats: int,
    check: Callable[[dict[str, Any]], None],
) -> Spent:
    """Tokens after `context` positions, without the output matrix. llm: that of the released way."""
    read, token = torch.randn(1, context, llm.hidden_size), torch.randn(1, 1, llm.hidden_size)

    def way(one: FrozenLLM) -> Callable[[int], Any]:
        cache = one.new_cache()
        one(read, cache=cache)
        return lambda _: one(token, cache=cache)[0]

    baseline = LlmBaseline(llm, read)
    ways = {name: way(one) for name, one in ours.items()} | {RELEASED: lambda _: baseline.step(token)}
    return last(take_turns(ways, repeats + WARM_UP, check), repeats)


class Speaking:
    """The likeliest tokens of one segment; the end is forbidden, so that random weights speak for a whole second."""

    sampling = SamplingConfig(top_k=1, penalty_window=0, min_tokens_per_row=TOKENS)

    def __init__(self, decoder: SpeechDecoder, text: Tensor, hidden: Tensor) -> None:
        self.decoder, self.state = decoder, begin(decoder, self.sampling, text, hidden)

    def step(self) -> int:
        token, self.state = advance(self.decoder, self.sampling, self.state)
        return int(token)


def speech_tokens(
    ours: Mapping[str, SpeechDecoder],
    decoder: SpeechDecoder,
    llm_size: int,
    segments: int,
    check: Callable[[dict[str, Any]], None],
) -> Spent:
    """Speech tokens, a second of each segment. decoder: that of the released way."""
    spent: Spent = {name: [] for name in (*ours, RELEASED)}
    for _ in range(segments):
        text, hidden = torch.randn(1, ROWS, llm_size), torch.randn(1, ROWS, llm_size)
        speaking = {name: Speaking(one, text, hidden) for name, one in ours.items()}
        steps = speaking | {RELEASED: SpeechBaseline(decoder, text, hidden)}
        ways = {name: _ignoring_number(one.step) for name, one in steps.items()}
        for name, times in take_turns(ways, TOKENS, check).items():
            spent[name] += times
    return spent


def _ignoring_number(step: Callable[[], Any]) -> Callable[[int], Any]:
    return lambda number: step()
