"""How many sessions a model serves in real time on this machine: measured, not guessed.

A session hears speech or is answered. The costlier of the two is counted for all at once; the load leaves room for the
moments of an interruption, when they overlap. Answers that are begun early and dropped count as listening. A step
of listening begins when the batch under way and earlier steps of others are done, and must end before the next chunk
comes.
"""

import statistics
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from freeze_omni.engine.scheduler import READ_S, positions_read
from freeze_omni.session.answer import own_answers
from freeze_omni.session.ops import DrawToken, Hear, MakeSound, Op, Read, StartSpeech, execute
from freeze_omni.session.reducer import MOST_DRAFTS
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.streaming import State
from freeze_omni.system import FreezeOmni

CONTEXT_POSITIONS = 256
CHUNK_TOKENS = 24
TURN_S = 6.0  # of a spoken turn; the last of its drafts becomes the answer
LLM_TOKENS_S = 4.0  # LLM tokens a second of speech: English is spoken at about 3 words a second
HEARD_BEFORE = 0.1
"""Share of the other sessions whose chunk is slightly older and heard in an earlier batch. With this value the estimate
matched the 90th percentile of `benchmarks/serving.py --parts limit` for 3 and 4 users."""
MOST = 256
REPEATS = 3

Load = tuple[float, Callable[[int], Op]]


@dataclass(frozen=True)
class Cost:
    """Seconds of work for a second of all dialogues, and for one step of listening with what it waits for."""

    work_per_s: float
    step_s: float


def cost(model: FreezeOmni, sessions: int) -> Cost:
    """Of `sessions` dialogues that all listen, or all are answered."""
    rates, answers = model.rates, own_answers(model)
    size, device = model.llm.hidden_size, model.device
    context = model.llm.embed(torch.zeros(CONTEXT_POSITIONS, dtype=torch.long, device=device)).detach()
    caches = [model.llm.new_cache() for _ in range(sessions)]
    execute(model, [Read(context, cache) for cache in caches])
    silence = np.zeros(rates.chunk_samples, dtype=np.float32)
    states = execute(model, [StartSpeech(context[:8], context[:8, :size], answers.sampling)] * sessions)
    generators = [torch.Generator(device).manual_seed(0) for _ in caches]
    steps_s = 1 / rates.chunk_s
    per_chunk = model.config.adapter.positions_per_chunk  # else they follow the words, one a time
    heard, heard_s = (1, LLM_TOKENS_S) if per_chunk is None else (per_chunk, steps_s)
    tokens = tuple([0] * CHUNK_TOKENS)
    listening: list[Load] = [
        (steps_s, lambda row: Hear(silence, model.listening.initial_state(1, device))),
        (heard_s, lambda row: Read(context[:heard], caches[row])),
    ]
    answering: list[Load] = [
        (LLM_TOKENS_S, lambda row: Read(context[:1], caches[row], predict=True)),
        *_speech_tokens(model, answers.sampling, states, generators),
        (rates.token_hz / CHUNK_TOKENS, lambda row: MakeSound(tokens, None)),
    ]

    if model.early is not None:
        dropped_s, segment, first = (MOST_DRAFTS - 1) / TURN_S, answers.segments.first_tokens, answers.chunks.first
        suffix, first_sound = len(model.llm.order.suffix()), tuple([0] * first)
        listening += [
            (dropped_s, lambda row: Read(context[:suffix], caches[row], predict=True)),
            (dropped_s * segment, answering[0][1]),
            (dropped_s * first, answering[1][1]),
            (dropped_s, lambda row: MakeSound(first_sound, None)),
        ]

    def times(loads: list[Load]) -> list[float]:
        return [_time_s(model, [make(row) for row in range(sessions)]) for _, make in loads]

    heard_times, answer_times = times(listening), times(answering)
    work = [
        sum(rate * spent_s for (rate, _), spent_s in zip(loads, spent, strict=True))
        for loads, spent in ((listening, heard_times), (answering, answer_times))
    ]
    own_s = sum(heard_times[:2])
    spent = zip(listening + answering, heard_times + answer_times, strict=True)
    batches = [_batch_s(make(0), spent_s, sessions) for (_, make), spent_s in spent]
    waits_s = max(batches) / 2 if sessions > 1 else 0.0  # half of the batch under way
    return Cost(max(work), own_s + waits_s + HEARD_BEFORE * (sessions - 1) * own_s)


def _batch_s(op: Op, spent_s: float, sessions: int) -> float:
    """Seconds of one batch of what takes `spent_s` for all sessions: the scheduler reads texts, here what closes turns,
    in more than one."""
    text = isinstance(op, Read) and op.predict and positions_read(op) > 1
    return max(min(spent_s, READ_S), spent_s / sessions) if text else spent_s


def _speech_tokens(
    model: FreezeOmni, sampling: SamplingConfig, states: Sequence[State], generators: Sequence[torch.Generator]
) -> list[Load]:
    """The first token of a pass of the speech decoder's AR, and the further ones, if it has some."""
    passes = sampling.tokens_per_pass or model.config.speech_decoder.tokens_per_pass
    first: Load = (
        model.rates.token_hz / passes,
        lambda row: DrawToken(states[row], sampling, generators[row]),
    )
    if passes == 1:
        return [first]
    read = execute(model, [first[1](row) for row in range(len(states))])
    further = model.rates.token_hz * (passes - 1) / passes
    return [first, (further, lambda row: DrawToken(read[row][1], sampling, generators[row]))]


def capacity(model: FreezeOmni, load: float, step_s: float, most: int = MOST) -> tuple[int, dict[int, Cost]]:
    """The largest number of sessions that stay under `load` and `step_s`, and that the LLM has caches for, at least 1;
    and what was measured."""
    most, seen = min(most, model.llm.most_dialogues), dict[int, Cost]()

    def fits(sessions: int) -> bool:
        seen[sessions] = cost(model, sessions)
        return seen[sessions].work_per_s <= load and seen[sessions].step_s <= step_s

    good = 1
    while good < most and fits(2 * good):
        good *= 2
    bad = 2 * good
    while good < most and bad - good > max(1, good // 8):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return min(good, most), seen


def _time_s(model: FreezeOmni, ops: list[Op]) -> float:
    execute(model, ops)
    return statistics.median(timeit.repeat(lambda: execute(model, ops), number=1, repeat=REPEATS))
