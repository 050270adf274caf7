"""The law of every streaming part, as checks that fail with a number: step by step = all at once.

A part is put under the law by describing it as a `Part` (tests/contract/parts/), in evaluation mode. Outputs are lists
with one tensor (n, ...) a row, so parts that give a ragged number of outputs a step obey the same law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from freeze_omni.shapes import valid_mask
from freeze_omni.streaming import State, join_states, split_state

Rows = list[Tensor]


@dataclass(frozen=True)
class Part:
    """A streaming part under test.

    chunk: inputs of one step; a step takes any multiple.
    make_input: batch, inputs -> x (B, N, ...), seeded by the law.
    forward: x (B, N, ...), lengths (B,) -> what each row gives in all.
    initial_state: batch -> state; row i may have its own context (a text to be spoken).
    step: x (B, k * chunk, ...), state -> what each row gives now, state.
    finish: state -> what each row still gives at the end (nothing by default).
    causal: False where later input may alter what `forward` gives for earlier input.
    pads_with_nan: x is floating point, so that its padding can be poisoned.
    """

    chunk: int
    make_input: Callable[[int, int], Tensor]
    forward: Callable[[Tensor, Tensor], Rows]
    initial_state: Callable[[int], State]
    step: Callable[[Tensor, State], tuple[Rows, State]]
    finish: Callable[[State], Rows] | None = None
    causal: bool = True
    pads_with_nan: bool = True
    tolerance: float = 2e-5


def rows_of(values: Tensor, lengths: Tensor | None = None) -> Rows:
    """The valid part of each row of values (B, N, ...); without lengths, all of it."""
    if lengths is None:
        return list(values)
    return [row[:length] for row, length in zip(values, lengths.tolist(), strict=True)]


def _join(pieces: list[Rows]) -> Rows:
    return [torch.cat(row) for row in zip(*pieces, strict=True)]


def max_error(found: Rows, expected: Rows) -> float:
    """Largest difference over largest magnitude; infinite for other shapes and for NaN."""
    worst = 0.0
    for got, want in zip(found, expected, strict=True):
        if got.shape != want.shape:
            return float("inf")
        if not (torch.isfinite(got).all() and torch.isfinite(want).all()):
            return float("inf")
        if want.numel():
            scale = want.double().abs().max().clamp_min(1e-6)
            worst = max(worst, float((got.double() - want.double()).abs().max() / scale))
    return worst


def run_steps(part: Part, x: Tensor, sizes: list[int]) -> Rows:
    """Feed x (B, N, ...) in steps of `sizes` chunks, then finish."""
    state, pieces, at = part.initial_state(len(x)), [], 0
    for size in sizes:
        given, state = part.step(x[:, at : at + size * part.chunk], state)
        pieces.append(given)
        at += size * part.chunk
    assert at == x.shape[1], "the sizes do not cover the input"
    if part.finish is not None:
        pieces.append(part.finish(state))
    return _join(pieces)


def _everything(part: Part, x: Tensor) -> Rows:
    return part.forward(x, torch.full((len(x),), x.shape[1]))


@torch.no_grad()
def check_chunk_by_chunk(part: Part, chunks: int = 24) -> None:
    """One chunk at a time gives what `forward` gives, over an input longer than every cache."""
    x = part.make_input(2, chunks * part.chunk)
    error = max_error(run_steps(part, x, [1] * chunks), _everything(part, x))
    assert error <= part.tolerance, f"chunk by chunk differs from all at once by {error:.2e}"


@torch.no_grad()
def check_random_splits(part: Part, chunks: int = 24, trials: int = 4) -> None:
    """However the input is cut into steps, the output is the same."""
    x = part.make_input(2, chunks * part.chunk)
    expected = _everything(part, x)
    for _ in range(trials):
        sizes: list[int] = []
        while sum(sizes) < chunks:
            sizes.append(min(int(torch.randint(1, 6, ())), chunks - sum(sizes)))
        error = max_error(run_steps(part, x, sizes), expected)
        assert error <= part.tolerance, f"steps of {sizes} chunks differ by {error:.2e}"


@torch.no_grad()
def check_rows_out_of_step(part: Part, chunks: int = 12, rows: int = 3, gap: int = 5) -> None:
    """Users who started at different times share a batch and get what each would get alone."""
    x = part.make_input(rows, chunks * part.chunk)
    states = split_state(part.initial_state(rows))
    pieces: list[list[Tensor]] = [[] for _ in range(rows)]
    for now in range(chunks + gap * (rows - 1)):
        active = [row for row in range(rows) if 0 <= now - gap * row < chunks]
        starts = [(now - gap * row) * part.chunk for row in active]
        batch = [x[row, at : at + part.chunk] for row, at in zip(active, starts, strict=True)]
        given, state = part.step(torch.stack(batch), join_states([states[row] for row in active]))
        for row, new, values in zip(active, split_state(state), given, strict=True):
            states[row] = new
            pieces[row].append(values)
    if part.finish is not None:
        for row, values in enumerate(part.finish(join_states(states))):
            pieces[row].append(values)
    error = max_error([torch.cat(row) for row in pieces], _everything(part, x))
    assert error <= part.tolerance, f"rows of different age in one batch differ by {error:.2e}"


@torch.no_grad()
def check_padding(part: Part, chunks: int = 8) -> None:
    """What lies after a row's length, NaN included, changes nothing of what the row gives."""
    lengths = torch.tensor([chunks, chunks // 2, 1]) * part.chunk
    x = part.make_input(len(lengths), chunks * part.chunk)
    padded = x.clone()
    behind = ~valid_mask(lengths, x.shape[1])
    padded[behind] = float("nan") if part.pads_with_nan else 0
    found = part.forward(padded, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = run_steps(part, x[:, :length], [1] * (length // part.chunk))[row]
        error = max_error([found[row]], [alone])
        assert error <= part.tolerance, f"row {row}, padded from {length}, differs by {error:.2e}"


@torch.no_grad()
def check_causal(part: Part, chunks: int = 8) -> None:
    """What was given before an input arrived does not depend on that input."""
    x, other = (part.make_input(2, chunks * part.chunk) for _ in range(2))
    for cut in (1, chunks // 2, chunks - 1):
        at = cut * part.chunk
        given, _ = part.step(x[:, :at], part.initial_state(2))
        mixed = _everything(part, torch.cat([x[:, :at], other[:, at:]], dim=1))
        early = [row[: len(values)] for row, values in zip(mixed, given, strict=True)]
        error = max_error(early, given)
        assert error <= part.tolerance, f"chunks before {cut} see later ones: {error:.2e}"


@torch.no_grad()
def check_state(part: Part, chunks: int = 6) -> None:
    """A state keeps its keys, shapes, dtypes; its batch is first; a step writes into none."""
    x = part.make_input(3, chunks * part.chunk)
    state = part.initial_state(3)
    form = {key: (value.shape, value.dtype) for key, value in state.items()}
    assert all(shape[0] == 3 for shape, _ in form.values()), f"the batch is not first: {form}"
    for at in range(0, x.shape[1], part.chunk):
        before = {key: value.clone() for key, value in state.items()}
        _, after = part.step(x[:, at : at + part.chunk], state)
        for key, value in before.items():
            same = torch.equal(value.nan_to_num(), state[key].nan_to_num())
            assert same, f"a step wrote into '{key}' of the state it was given"
        found = {key: (value.shape, value.dtype) for key, value in after.items()}
        assert found == form, f"the state changed its form: {form} -> {found}"
        state = after
