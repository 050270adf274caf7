"""Pieces of model work that a session asks for, and what runs them.

A session never calls the model. Its coroutines yield an operation and are sent the result, so whoever drives them may
run the operations of many sessions at once (`execute`), or of one (`drive`): both are the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.packed import filling
from freeze_omni.session.model import SpokenModel
from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.batch import advance_rows
from freeze_omni.speech_decoder.generate import begin
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.streaming import State, join_states, split_state


class Ears(NamedTuple):
    """Streaming states of all that hears: each of batch 1."""

    fbank: State
    encoder: State
    ctc: State
    adapter: State


class Sent(NamedTuple):
    """Of the chunks: new units, positions (P, E) for the LLM, the last chunk's summary (1, S)."""

    units: list[int]
    embeds: Tensor
    summary: Tensor


@dataclass(frozen=True)
class Hear:
    """Whole chunks (k * chunk_samples,) through features, encoder and adapter -> (Sent, Ears)."""

    samples: np.ndarray
    ears: Ears


@dataclass(frozen=True)
class Read:
    """The LLM reads positions (P, E) behind `cache` -> hidden states (P, E)."""

    embeds: Tensor
    cache: LlmCache


@dataclass(frozen=True)
class Predict:
    """What follows a hidden state (E,) -> logits (V,)."""

    hidden: Tensor


@dataclass(frozen=True)
class StartSpeech:
    """The speech decoder reads a segment: text (N, E), hidden states (M, E) or None -> State."""

    text: Tensor
    hidden: Tensor | None
    sampling: SamplingConfig


@dataclass(frozen=True)
class DrawToken:
    """The next speech token -> (token, State)."""

    state: State
    sampling: SamplingConfig
    generator: torch.Generator


@dataclass(frozen=True)
class MakeSound:
    """Speech tokens to audio -> (samples (S,), State). Without tokens the stream ends: what the codec held back."""

    tokens: tuple[int, ...]
    state: State | None


Op = Hear | Read | Predict | StartSpeech | DrawToken | MakeSound
type Job[R] = Generator[Op, Any, R]


def drive[R](model: SpokenModel, job: Job[R]) -> R:
    """Run a job alone to its end."""
    try:
        op = next(job)
        while True:
            op = job.send(execute(model, [op])[0])
    except StopIteration as end:
        return end.value


def group_key(op: Op) -> tuple[Any, ...]:
    """Operations with equal keys can be executed together."""
    match op:
        case Hear():
            return Hear, len(op.samples)
        case StartSpeech():
            return StartSpeech, op.hidden is None, op.sampling
        case DrawToken():
            return DrawToken, op.sampling
        case MakeSound():
            return MakeSound, len(op.tokens)
    return (type(op),)


@torch.no_grad()
def execute(model: SpokenModel, ops: Sequence[Op]) -> list[Any]:
    """Results of operations whose `group_key` is the same, in one batch; a row's does not depend on the others."""
    return _RUN[type(ops[0])](model, ops)


def new_ears(model: SpokenModel) -> Ears:
    """Nothing heard yet."""
    device = model.llm.model.device
    return Ears(
        model.fbank.initial_state(1, device),
        model.encoder.initial_state(1),
        model.ctc.initial_state(1),
        model.adapter.initial_state(1),
    )


def _hear(model: SpokenModel, ops: Sequence[Hear]) -> list[tuple[Sent, Ears]]:
    wav = torch.from_numpy(np.stack([op.samples for op in ops]).astype(np.float32)).to(model.llm.model.device)
    fbank, encoder, ctc, adapter = (_join(states) for states in zip(*(op.ears for op in ops), strict=True))
    feats, fbank = model.fbank.step(wav, fbank)
    frames, encoder = model.encoder.step(feats, encoder)
    logits = model.ctc(frames)
    units, ctc = model.ctc.step(logits, ctc)
    sent, adapter = model.adapter.step(frames, adapter, ctc_logits=logits)
    ears = zip(*(_split(state) for state in (fbank, encoder, ctc, adapter)), strict=True)
    counts = sent.lengths.tolist()
    return [
        (Sent(units[row], sent.embeds[row, : counts[row]].clone(), sent.summary[row, -1:].clone()), Ears(*states))
        for row, states in enumerate(ears)
    ]


def _read(model: SpokenModel, ops: Sequence[Read]) -> list[Tensor]:
    ages = [op.cache.length for op in ops]
    try:
        return model.llm.read_rows([op.embeds for op in ops], [op.cache for op in ops])
    except Exception:
        for op, age in zip(ops, ages, strict=True):  # whoever is innocent may read again
            op.cache.cut(age)
        raise


def _predict(model: SpokenModel, ops: Sequence[Predict]) -> list[Tensor]:
    rows = torch.stack([op.hidden for op in ops])
    fill = rows.new_zeros(filling(len(rows)), rows.shape[1])
    return list(model.llm.logits(torch.cat([rows, fill]))[: len(rows)])


def _start_speech(model: SpokenModel, ops: Sequence[StartSpeech]) -> list[State]:
    text, lengths = pad_rows([op.text for op in ops])
    hidden, hidden_lengths = (None, None) if ops[0].hidden is None else pad_rows([op.hidden for op in ops])
    return _split(begin(model.speech_decoder, ops[0].sampling, text, hidden, lengths, hidden_lengths))


def _draw(model: SpokenModel, ops: Sequence[DrawToken]) -> list[tuple[int, State]]:
    states, generators = [op.state for op in ops], [op.generator for op in ops]
    return advance_rows(model.speech_decoder, ops[0].sampling, states, generators)


def _sound(model: SpokenModel, ops: Sequence[MakeSound]) -> list[tuple[np.ndarray, State]]:
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
    """Rows of a batched state, each with memory of its own: one must not keep all the others alive."""
    rows = split_state(state)
    return rows if len(rows) == 1 else [{key: value.clone() for key, value in row.items()} for row in rows]


_RUN: dict[type, Callable[[SpokenModel, Any], list[Any]]] = {
    Hear: _hear,
    Read: _read,
    Predict: _predict,
    StartSpeech: _start_speech,
    DrawToken: _draw,
    MakeSound: _sound,
}
