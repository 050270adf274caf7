"""Operations of the model that a session asks for, and what runs them.

A session never calls the model. Its coroutines yield an operation and are sent the result. Whoever drives them runs
the operations of many sessions at once (`execute`), or of one (`drive`), by the same code.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.engine import Cache, LlmOutput
from freeze_omni.session.events import Value
from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.generate import advance_rows, begin
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.streaming import State, join_states, split_state
from freeze_omni.system import FreezeOmni


class Listened(NamedTuple):
    """Of the chunks: new CTC units, positions (P, E) for the LLM, the last chunk's summary (1, S), the state after."""

    units: list[int]
    embeds: Tensor
    summary: Tensor
    state: State


class Hear(Value):
    """Whole chunks (k * chunk_samples,) through the model's `listening` -> Listened. played: what the system played
    meanwhile, as many samples; None for nothing."""

    samples: np.ndarray
    state: State
    played: np.ndarray | None = None


class Read(Value):
    """The LLM reads positions (P, E), P > 0, after those in `cache` -> LlmOutput."""

    embeds: Tensor
    cache: Cache
    predict: bool = False


class StartSpeech(Value):
    """The speech decoder reads a segment: text (N, E), hidden states (M, E) or None -> State."""

    text: Tensor
    hidden: Tensor | None
    sampling: SamplingConfig


class DrawToken(Value):
    """The next speech token -> (token, State)."""

    state: State
    sampling: SamplingConfig
    generator: torch.Generator


class MakeSound(Value):
    """Speech tokens to audio -> (samples (S,), State). Without tokens the stream ends: what the codec held back."""

    tokens: tuple[int, ...]
    state: State | None


Op = Hear | Read | StartSpeech | DrawToken | MakeSound
type Job[R] = Generator[Op, Any, R]


def drive[R](model: FreezeOmni, job: Job[R]) -> R:
    try:
        op = next(job)
        while True:
            op = job.send(execute(model, [op])[0])
    except StopIteration as end:
        return end.value


def drive_together[R](model: FreezeOmni, jobs: Sequence[Job[R]]) -> list[R]:
    """The results of many coroutines in lock step: operations that can be executed together are, in one batch."""
    found: dict[int, R] = {}
    waiting: dict[int, Op] = {}

    def advance(number: int, result: Any) -> None:
        waiting.pop(number, None)
        try:
            waiting[number] = jobs[number].send(result)
        except StopIteration as end:
            found[number] = end.value

    for number in range(len(jobs)):
        advance(number, None)
    while waiting:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, op in waiting.items():
            groups.setdefault(group_key(op), []).append(number)
        for numbers in groups.values():
            results = execute(model, [waiting[number] for number in numbers])
            for number, result in zip(numbers, results, strict=True):
                advance(number, result)
    return [found[number] for number in range(len(jobs))]


def group_key(op: Op) -> tuple[Any, ...]:
    """Operations with equal keys can be executed together."""
    match op:
        case Hear(samples):
            return Hear, len(samples)
        case StartSpeech(_, hidden, sampling):
            return StartSpeech, hidden is None, sampling
        case DrawToken(_, sampling):
            return DrawToken, sampling
        case MakeSound(tokens):
            return MakeSound, len(tokens)
    return (type(op),)


@torch.no_grad()
def execute(model: FreezeOmni, ops: Sequence[Op]) -> list[Any]:
    """Results of operations with the same `group_key`, in one batch; a row's result does not depend on the others."""
    return _RUN[type(ops[0])](model, ops)


def _hear(model: FreezeOmni, ops: Sequence[Hear]) -> list[Listened]:
    wav, played = _stacked(model, [op.samples for op in ops]), None
    if model.reference is not None and any(op.played is not None for op in ops):
        nothing = np.zeros_like(ops[0].samples)
        played = _stacked(model, [nothing if op.played is None else op.played for op in ops])
    out, state = model.listening.step(wav, _join([op.state for op in ops]), played)
    units, counts, adapted = model.listening.units(out), out.adapted.lengths.tolist(), out.adapted
    return [
        Listened(units[row], adapted.embeds[row, : counts[row]].clone(), adapted.summary[row, -1:].clone(), states)
        for row, states in enumerate(_split(state))
    ]


def _stacked(model: FreezeOmni, rows: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float32)).to(model.device)


def _read(model: FreezeOmni, ops: Sequence[Read]) -> list[LlmOutput]:
    ages = [op.cache.length for op in ops]
    try:
        return model.llm.follow_rows([op.embeds for op in ops], [op.cache for op in ops], [op.predict for op in ops])
    except Exception:
        for op, age in zip(ops, ages, strict=True):  # the other sessions of the batch may read again
            op.cache.cut(age)
        raise


def _start_speech(model: FreezeOmni, ops: Sequence[StartSpeech]) -> list[State]:
    text, lengths = pad_rows([op.text for op in ops])
    hidden, hidden_lengths = (None, None) if ops[0].hidden is None else pad_rows([op.hidden for op in ops])
    return _split(begin(model.speech_decoder, ops[0].sampling, text, hidden, lengths, hidden_lengths))


def _draw(model: FreezeOmni, ops: Sequence[DrawToken]) -> list[tuple[int, State]]:
    return advance_rows(model.speech_decoder, ops[0].sampling, [op.state for op in ops], [op.generator for op in ops])


def _sound(model: FreezeOmni, ops: Sequence[MakeSound]) -> list[tuple[np.ndarray, State]]:
    codec, device = model.codec, model.voice.device
    state = _join([codec.initial_state(1, device) if op.state is None else op.state for op in ops])
    if ops[0].tokens:
        tokens = torch.tensor([op.tokens for op in ops], device=device)
        wav, state = codec.step(tokens, state, model.voice)
    else:
        wav = codec.flush(state, model.voice)
    sounds = wav.clamp(-1, 1).float().cpu().numpy().copy()
    return list(zip(sounds, _split(state), strict=True))


def _join(states: Sequence[State]) -> State:
    return states[0] if len(states) == 1 else join_states(states)


def _split(state: State) -> list[State]:
    """Rows of a batched state, each with its own memory: one must not keep all the others alive."""
    rows = split_state(state)
    return rows if len(rows) == 1 else [{key: value.clone() for key, value in row.items()} for row in rows]


_RUN: dict[type, Callable[[FreezeOmni, Any], list[Any]]] = {
    Hear: _hear,
    Read: _read,
    StartSpeech: _start_speech,
    DrawToken: _draw,
    MakeSound: _sound,
}
