"""Texts and speech to the time of each row, by Viterbi training from a flat start (no other model, no lexicon).

Each kind of row (a character, say, in upper or lower case) is a slot of two states; a row without a letter or digit,
and what comes before the first row and after the last, is silence. Silence may be skipped, and so may a letter, at a
price: English writes more than it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.timing.mixtures import Mixtures, one_gaussian, reestimate
from freeze_omni.speech_decoder.timing.path import best_path

SILENT = 0  # the kind of a row that is not spoken; kinds of spoken rows count from 1
SILENT_ROW = math.log(0.5)
MUTE_LETTER = math.log(0.01)
SILENCE_DB = 30.0  # below the utterance's loudest frame: silence, to begin with
PASSES = ((1, 8), (2, 3), (4, 3), (8, 4))  # components, and passes over the data with them
BATCH = 32
ENOUGH_FRAMES = 60_000  # ten minutes teach what some forty letters sound like


@dataclass(frozen=True)
class Spoken:
    """An utterance: features (F, D), loudness_db (F,), and the kind (N,) of each row of its text."""

    features: Tensor
    loudness_db: Tensor
    kinds: Tensor


def row_starts(utterances: Sequence[Spoken], passes: Sequence[tuple[int, int]] = PASSES) -> list[Tensor]:
    """The first frame (N + 1,) of each row, and the first frame after the last row.

    Raises ValueError: no utterance has a spoken row.
    """
    if not any(bool((one.kinds != SILENT).any()) for one in utterances):
        raise ValueError("no text has a letter in it")
    count = 2 * (1 + max(int(one.kinds.max()) for one in utterances if len(one.kinds)))
    mixtures = train(_some(utterances), passes, count)
    return [_starts(one, path) for one, path in zip(utterances, _paths(mixtures, utterances), strict=True)]


def _some(utterances: Sequence[Spoken]) -> Sequence[Spoken]:
    """Every n-th of them, if there are more than are needed for training."""
    every = max(1, sum(len(one.features) for one in utterances) // ENOUGH_FRAMES)
    return utterances[::every]


def train(utterances: Sequence[Spoken], passes: Sequence[tuple[int, int]], count: int) -> Mixtures:
    """The mixtures of `count` states, from repeated alignments of texts and speech."""
    frames = torch.cat([one.features for one in utterances])
    mixtures = one_gaussian(frames, torch.cat([_flat(one) for one in utterances]), count)
    for components, times in passes:
        while mixtures.means.shape[1] < components:
            mixtures = mixtures.split()
        for _ in range(times):
            paths = _paths(mixtures, utterances)
            states = [_states(one)[path] for one, path in zip(utterances, paths, strict=True)]
            mixtures = reestimate(mixtures, frames, torch.cat(states))
    return mixtures


def _slots(one: Spoken) -> Tensor:
    """The kinds of an utterance's slots: its rows between two silences."""
    return torch.nn.functional.pad(one.kinds, (1, 1), value=SILENT)


def _states(one: Spoken) -> Tensor:
    """The mixture of each state of the utterance; both states of silence share one."""
    first = 2 * _slots(one)
    return torch.stack([first, first + (first > 0)], 1).flatten()


def _flat(one: Spoken) -> Tensor:
    """A first guess of each frame's state: quiet frames are silence, the rest is shared out evenly."""
    loud = one.loudness_db > one.loudness_db.max() - SILENCE_DB
    letters = one.kinds[one.kinds != SILENT]
    states = torch.zeros(len(one.features), dtype=torch.long)
    if len(letters) == 0:
        return states
    halves = torch.stack([2 * letters, 2 * letters + 1], 1).flatten()
    place = torch.arange(int(loud.sum())) * len(halves) // max(1, int(loud.sum()))
    states[loud] = halves[place]
    return states


def _paths(mixtures: Mixtures, utterances: Sequence[Spoken]) -> list[Tensor]:
    paths: dict[int, Tensor] = {}
    order = sorted(range(len(utterances)), key=lambda index: len(utterances[index].features))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        for index, path in zip(batch, _batch_paths(mixtures, [utterances[i] for i in batch]), strict=True):
            paths[index] = path
    return [paths[index] for index in range(len(utterances))]


def _batch_paths(mixtures: Mixtures, batch: Sequence[Spoken]) -> list[Tensor]:
    feats, frames = pad_rows([one.features for one in batch])
    states, _ = pad_rows([_states(one) for one in batch])
    slots, counts = pad_rows([_slots(one) for one in batch])
    scores = mixtures.score(feats.flatten(0, 1)).unflatten(0, feats.shape[:2])
    scores = scores.gather(2, states[:, None].expand(-1, feats.shape[1], -1))
    prices = torch.where(slots == SILENT, SILENT_ROW, MUTE_LETTER)
    found = best_path(scores, frames, prices, counts)
    return [path[:size] for path, size in zip(found, frames.tolist(), strict=True)]


def _starts(one: Spoken, path: Tensor) -> Tensor:
    """First frame of each row from the path's states; a skipped row begins with the next one."""
    slot = path // 2
    return torch.searchsorted(slot, torch.arange(1, len(one.kinds) + 2))
