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
from torch.nn import functional as F

from freeze_omni.shapes import pad_rows

VARIANCE_FLOOR = 0.05  # of features whose variance is one
FEWEST_FRAMES = 30.0  # a state with fewer leans on the mean of all
FRAMES_AT_ONCE = 2048  # of which all states are scored: a text of many signs has thousands


@dataclass(frozen=True)
class Mixtures:
    """S states of K components over D features: means and variances (S, K, D), log weights (S, K)."""

    means: Tensor
    variances: Tensor
    log_weights: Tensor

    def components(self, frames: Tensor) -> Tensor:
        """Log likelihood with weight (F, S, K) of frames (F, D)."""
        precision = 1 / self.variances
        square = frames.square() @ precision.flatten(0, 1).T
        cross = frames @ (self.means * precision).flatten(0, 1).T
        rest = (self.means.square() * precision + self.variances.log()).sum(-1)
        constant = self.log_weights - 0.5 * (rest + self.means.shape[-1] * math.log(2 * math.pi))
        return (cross - 0.5 * square).unflatten(1, self.log_weights.shape) + constant

    def of(self, states: Tensor) -> Mixtures:
        """Those of some states (S,) alone."""
        return Mixtures(self.means[states], self.variances[states], self.log_weights[states])

    def split(self) -> Mixtures:
        """Twice the components, each pair slightly apart."""
        apart = 0.2 * self.variances.sqrt()
        return Mixtures(
            torch.cat([self.means - apart, self.means + apart], 1),
            self.variances.repeat(1, 2, 1),
            self.log_weights.repeat(1, 2) - math.log(2),
        )


def reestimate(mixtures: Mixtures, frames: Tensor, states: Tensor) -> Mixtures:
    """The mixtures after one step of EM on frames (F, D) that are in states (F,)."""
    pieces = zip(frames.split(FRAMES_AT_ONCE), states.split(FRAMES_AT_ONCE), strict=True)
    own = [mixtures.components(some)[torch.arange(len(some)), state] for some, state in pieces]
    return _estimate(frames, states, torch.cat(own).softmax(-1), len(mixtures.means))


def _estimate(frames: Tensor, states: Tensor, shares: Tensor, count: int) -> Mixtures:
    """`count` states from frames (F, D), states (F,) and shares (F, K); rare ones lean on the mean of all."""
    sizes, sums, squares = _sums(frames, states, shares, count)
    lent = (FEWEST_FRAMES / shares.shape[1] - sizes).clamp(min=1e-3)
    total = sizes + lent
    means = (sums + lent[..., None] * frames.mean(0)) / total[..., None]
    second = (squares + lent[..., None] * frames.square().mean(0)) / total[..., None]
    variances = (second - means.square()).clamp(min=VARIANCE_FLOOR)
    return Mixtures(means, variances, (total / total.sum(1, keepdim=True)).log())


def _sums(frames: Tensor, states: Tensor, shares: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    components, size = shares.shape[1], frames.shape[1]
    sizes = torch.zeros(count, components).index_add_(0, states, shares)
    sums, squares = (torch.zeros(count, components, size) for _ in range(2))
    for component in range(components):
        weighted = shares[:, component, None] * frames
        sums[:, component].index_add_(0, states, weighted)
        squares[:, component].index_add_(0, states, weighted * frames)
    return sizes, sums, squares


MOST_SKIPPED = 2  # slots in a row
NEVER = -1e30


def best_path(scores: Tensor, frames: Tensor, prices: Tensor, slots: Tensor) -> Tensor:
    """The state (B, T) of each frame on the best path, arbitrary after the real frames.

    scores: (B, T, 2 N) log likelihood of each frame in each state; state 2 i and 2 i + 1 are slot i's.
    prices: (B, N) log probability of skipping a slot. frames, slots: (B,) real ones.
    """
    skips = _skips(prices)
    best = _start(scores[:, 0], prices)
    steps = torch.zeros(scores.shape, dtype=torch.int8)
    bests = [best]
    for frame in range(1, scores.shape[1]):
        came, step = torch.stack([best, _shift(best, 1)] + [_shift(best, far) + cost for far, cost in skips]).max(0)
        best = came + scores[:, frame]
        steps[:, frame] = step
        bests.append(best)
    return _trace(torch.stack(bests, 1), steps, frames, prices, slots)


def _shift(best: Tensor, states: int) -> Tensor:
    return F.pad(best[:, :-states], (states, 0), value=NEVER)


def _skips(prices: Tensor) -> list[tuple[int, Tensor]]:
    """For one and two skipped slots: how many states that moves forward, and its price (B, 2 N)."""
    found = []
    for skipped in range(1, MOST_SKIPPED + 1):
        cost = torch.full((len(prices), 2 * prices.shape[1]), NEVER)
        left_out = [prices[:, skipped - back : prices.shape[1] - back] for back in range(1, skipped + 1)]
        cost[:, 2 * skipped :: 2] = torch.stack(left_out).sum(0)
        found.append((1 + 2 * skipped, cost))
    return found


def _start(first: Tensor, prices: Tensor) -> Tensor:
    best = torch.full_like(first, NEVER)
    for skipped in range(min(MOST_SKIPPED + 1, prices.shape[1])):
        best[:, 2 * skipped] = first[:, 2 * skipped] + prices[:, :skipped].sum(1)
    return best


def _trace(bests: Tensor, steps: Tensor, frames: Tensor, prices: Tensor, slots: Tensor) -> Tensor:
    rows, last = torch.arange(len(bests)), (frames - 1).clamp(min=0)
    state = torch.zeros(len(bests), dtype=torch.long)
    reached = torch.full((len(bests),), 2 * NEVER)
    paid = torch.zeros(len(bests))
    for skipped in range(MOST_SKIPPED + 1):
        slot = slots - 1 - skipped
        end = (2 * slot + 1).clamp(min=0)
        found = (bests[rows, last, end] + paid).where(slot >= 0, 2 * torch.tensor(NEVER))
        better = found > reached
        state, reached = end.where(better, state), found.where(better, reached)
        paid = paid + prices[rows, slot.clamp(min=0)]
    forward = torch.tensor([0, 1] + [1 + 2 * skipped for skipped in range(1, MOST_SKIPPED + 1)])
    path = torch.zeros(bests.shape[:2], dtype=torch.long)
    for frame in range(bests.shape[1] - 1, -1, -1):
        inside = frame <= last
        path[:, frame] = state
        came = forward[steps[rows, frame, state].long()] * (frame > 0)
        state = (state - came).where(inside, state)
    return path


SILENT = 0  # the kind of a row that is not spoken; kinds of spoken rows count from 1
SILENT_ROW = math.log(0.5)
MUTE_LETTER = math.log(0.01)
SILENCE_DB = 30.0  # below the utterance's loudest frame: silence, to begin with
PASSES = ((1, 8), (2, 3), (4, 3), (8, 4))  # components, and passes over the data with them
BATCH = 32


@dataclass(frozen=True)
class Spoken:
    """An utterance: features (F, D), loudness_db (F,), and the kind (N,) of each row of its text."""

    features: Tensor
    loudness_db: Tensor
    kinds: Tensor


def row_starts(mixtures: Mixtures, utterances: Sequence[Spoken]) -> list[Tensor]:
    """First frames (N + 1,) of the rows of each utterance and of what follows them, with trained mixtures."""
    timed = zip(utterances, _paths(mixtures, utterances), strict=True)
    # a skipped row begins with the next one
    return [torch.searchsorted(path // 2, torch.arange(1, len(one.kinds) + 2)) for one, path in timed]


def train(utterances: Sequence[Spoken], kinds: int, passes: Sequence[tuple[int, int]] = PASSES) -> Mixtures:
    """The mixtures of the states of silence and of kinds 1 to `kinds`, from repeated alignments of texts and speech.

    A kind that is not there is the mean of all. Raises ValueError: no utterance has a spoken row.
    """
    if not any(bool((one.kinds != SILENT).any()) for one in utterances):
        raise ValueError("no text has a letter in it")
    count = 2 * (1 + kinds)
    frames = torch.cat([one.features for one in utterances])
    first_guess = torch.cat([_flat(one) for one in utterances])
    mixtures = _estimate(frames, first_guess, torch.ones(len(frames), 1), count)
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
    return F.pad(one.kinds, (1, 1), value=SILENT)


def _states(one: Spoken) -> Tensor:
    """The mixture of each state of the utterance; both states of silence share one."""
    first = 2 * _slots(one)
    return torch.stack([first, first + (first > 0)], 1).flatten()


def _flat(one: Spoken) -> Tensor:
    """A first guess of each frame's state: quiet frames are silence, the rest is shared out evenly."""
    loud = one.loudness_db > one.loudness_db.max() - SILENCE_DB
    letters = one.kinds[one.kinds != SILENT]
    states, count = torch.zeros(len(one.features), dtype=torch.long), int(loud.sum())
    if len(letters):
        halves = torch.stack([2 * letters, 2 * letters + 1], 1).flatten()
        states[loud] = halves[torch.arange(count) * len(halves) // max(1, count)]
    return states


def _paths(mixtures: Mixtures, utterances: Sequence[Spoken]) -> list[Tensor]:
    paths: dict[int, Tensor] = {}
    order = sorted(range(len(utterances)), key=lambda index: len(utterances[index].features))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        paths |= zip(batch, _batch_paths(mixtures, [utterances[i] for i in batch]), strict=True)
    return [paths[index] for index in range(len(utterances))]


def _batch_paths(mixtures: Mixtures, batch: Sequence[Spoken]) -> list[Tensor]:
    slots, counts = pad_rows([_slots(one) for one in batch])
    widths = [2 * slots.shape[1] - 2 * len(_slots(one)) for one in batch]
    scores, frames = pad_rows([F.pad(_scores(mixtures, one), (0, w)) for one, w in zip(batch, widths, strict=True)])
    prices = torch.where(slots == SILENT, SILENT_ROW, MUTE_LETTER)
    found = best_path(scores, frames, prices, counts)
    return [path[:size] for path, size in zip(found, frames.tolist(), strict=True)]


def _scores(mixtures: Mixtures, one: Spoken) -> Tensor:
    """Log likelihood (F, 2 N) of each frame in each state of the utterance's N slots."""
    used, place = _states(one).unique(return_inverse=True)
    return mixtures.of(used).components(one.features).logsumexp(-1)[:, place]
