"""Warm start of stage 1.2: a fresh adapter first learns, by CTC alignment, which embedding the LLM expects where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.adapter.output import AdapterOutput, chunk_ends
from freeze_omni.encoder.search import Said
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, silence_padding, valid_mask
from freeze_omni.tasks.llm_pass import Written, text_losses


@dataclass(frozen=True)
class WarmStartConfig:
    """The first part of stage 1.2, without a pass through the LLM (ours; off for the paper's way).

    share: of the training (0 to 1). filler_weight: of a position between tokens, where one that ends a token has 1.
    contrast_weight: of the cross entropy over the distances to all units' embeddings, next to the squared error.
    temperature: of those distances, as a share of the embeddings' mean square. later: weight of this loss after the
    warm start, next to that of the LLM; for the adapter `pool`, whose positions stay the tokens'. filler_share: of the
    warm start, in which a learned filler learns, before the adapter does.
    """

    share: float = 0.5
    filler_weight: float = 0.5
    contrast_weight: float = 1.0
    temperature: float = 0.2
    later: float = 0.0
    filler_share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.filler_share < 1:
            raise ValueError("filler_share must be between 0 and 1")
        if not 0 < self.share <= 1 or self.temperature <= 0:
            raise ValueError("share must be above 0 and at most 1, temperature above 0")


@torch.no_grad()
def unit_ends(logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor, blank: int = 0) -> Tensor:
    """The last frame of each unit on the best path that spells the targets.

    logits (B, T, V), lengths (B,); targets (B, U), lengths (B,); padding holds anything.
    Returns: (B, U) frames; -1 after a row's targets, and in rows with too few frames for their units.
    """
    targets = silence_padding(targets, target_lengths)
    states = torch.full((len(targets), 2 * targets.shape[1] + 1), blank, device=targets.device)
    states[:, 1::2] = targets
    scores = logits.float().log_softmax(-1)
    scores = scores.gather(2, states[:, None].expand(-1, scores.shape[1], -1))
    may_skip = torch.zeros_like(states, dtype=torch.bool)  # the blank between a state and the one two before it
    may_skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return _ends(*_best_steps(scores, may_skip), lengths, target_lengths)


def _best_steps(scores: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T, S) to best path scores (B, T, S) and how many states each step advanced (B, T, S)."""
    best = torch.full_like(scores[:, 0], float("-inf"))
    best[:, :2] = scores[:, 0, :2]
    paths, steps = [best], [torch.zeros_like(skip, dtype=torch.long)]
    for frame in range(1, scores.shape[1]):
        one = F.pad(best[:, :-1], (1, 0), value=float("-inf"))
        two = F.pad(best[:, :-2], (2, 0), value=float("-inf"))
        came, step = torch.stack([best, one, two.masked_fill(~skip, float("-inf"))]).max(0)
        best = came + scores[:, frame]
        paths.append(best)
        steps.append(step)
    return torch.stack(paths, 1), torch.stack(steps, 1)


def _ends(paths: Tensor, steps: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    rows = torch.arange(len(paths), device=paths.device)
    last = (lengths - 1).clamp(min=0)
    final = torch.stack([2 * target_lengths, (2 * target_lengths - 1).clamp(min=0)], 1)
    reached = paths[rows, last].gather(1, final)
    state = final.gather(1, reached.argmax(1, keepdim=True))[:, 0]
    possible = reached.max(1).values.isfinite() & (lengths > 0)
    ends = torch.full((len(paths), (paths.shape[2] - 1) // 2 + 1), -1, device=paths.device)
    for frame in range(paths.shape[1] - 1, -1, -1):
        inside = (frame <= last) & possible
        unit = torch.where(inside & (state % 2 == 1), state // 2, ends.shape[1] - 1)
        new = ends[rows, unit] < 0
        ends[rows[new], unit[new]] = frame
        state = torch.where(inside, state - steps[rows, frame, state], state)
    unit = torch.arange(ends.shape[1] - 1, device=paths.device)
    return ends[:, :-1].masked_fill((unit >= target_lengths[:, None]) | ~possible[:, None], -1)


def aligned_units(ends: Tensor, units: Tensor, lengths: Tensor, frames_per_position: int, size: int) -> Tensor:
    """Which unit each position should carry: its own at the position that has heard the unit's end, 0 elsewhere.

    ends (B, U): of `unit_ends`; units (B, U); lengths (B,): positions; size: the longest.
    Returns: (B, size) units. Two units never share a position: the later one moves on, and is lost after the last.
    """
    wanted = torch.zeros(len(ends), size, dtype=units.dtype, device=units.device)
    free = torch.zeros_like(lengths)
    rows = torch.arange(len(ends), device=units.device)
    for column in range(ends.shape[1]):
        heard = (ends[:, column] + frames_per_position - 1) // frames_per_position
        position = torch.maximum(heard, free)
        fits = (ends[:, column] >= 0) & (position < lengths)
        wanted[rows[fits], position[fits]] = units[fits, column]
        free = torch.where(fits, position + 1, free)
    return wanted


class WarmTargets(NamedTuple):
    """What positions learn to be. table (V, E): the LLM's embeddings, the filler's first; ids (V - 1,): its tokens
    of the others. words (2, W, M), space: tokens of a lexicon's words, and the CTC unit that ends a word, if the CTC
    units are letters and a position is to be a token of a word; ids are sorted then, otherwise row u is CTC unit u."""

    table: Tensor
    ids: Tensor
    words: Tensor | None = None
    space: int = -1


def aligned_tokens(spelled: Tensor, until: Tensor, ids: Tensor, lengths: Tensor, stride: int, size: int) -> Tensor:
    """As `aligned_units`, of the tokens of words: those of a word stand from where its end is heard, one a position.

    spelled (B, N, M): tokens of each word, -1 after its last; until (B, N): the frame after a word; ids (V - 1,): of
    the table. Returns: (B, size) rows of the table.
    """
    real = spelled >= 0
    tokens = pad_rows([row[some] for row, some in zip(spelled, real, strict=True)])[0]
    ends = (until - 1)[..., None].expand_as(spelled)
    ends = pad_rows([row[some] for row, some in zip(ends, real, strict=True)], -1)[0]
    rows = torch.searchsorted(ids, tokens.contiguous()).clamp_max(len(ids) - 1) + 1
    return aligned_units(ends, rows, lengths, stride, size)


def filler_loss(llm: FrozenLLM, filler: Tensor, wanted: Tensor, lengths: Tensor, targets: WarmTargets) -> Tensor:
    """How much the LLM minds the filler: KL of what it expects as each next token of a text, without and with fillers.

    filler (E,); wanted (B, P), lengths (B,): rows of the table at each position, 0 for a filler, as an adapter is to
    send them. The first token of a text has nothing before it, and does not count.
    """
    valid = valid_mask(lengths, wanted.shape[1])
    said = (wanted > 0) & valid
    table = torch.cat([filler[None].to(targets.table.dtype), targets.table[1:]])
    hidden, _ = llm(silence_padding(table[wanted], lengths), valid)
    texts, sizes = pad_rows([row[some] for row, some in zip(wanted, said, strict=True)])
    states = hidden.roll(1, dims=1)[said & (said.cumsum(1) > 1)]
    none = states.new_zeros(0)
    ids = targets.ids[(texts - 1).clamp_min(0)]
    later = valid_mask(sizes, texts.shape[1])
    later[:, :1] = False
    with torch.no_grad():
        read, _ = llm.plain(silence_padding(targets.table[texts], sizes), valid_mask(sizes, texts.shape[1]))
        teacher = Written(none, none, read.roll(1, dims=1)[later], ids[later])
    divergence = text_losses(llm, Written(none, none, states, ids[later]), teacher).divergence
    assert divergence is not None
    return divergence


def alignment_loss(
    adapted: AdapterOutput, wanted: Tensor, table: Tensor, config: WarmStartConfig
) -> tuple[Tensor, Tensor]:
    """Distance of positions from the embeddings `table` (V, E) of units `wanted` (B, P), and share of nearest ones."""
    valid = valid_mask(adapted.lengths, wanted.shape[1])
    given, units = adapted.embeds[valid].float(), wanted[valid]
    table = table.float()
    scale = table.square().sum(1).mean()
    weights = torch.where(units > 0, 1.0, config.filler_weight)
    square = (given - table[units]).square().sum(1) / scale
    distance = (given.square().sum(1, keepdim=True) + table.square().sum(1) - 2 * given @ table.T) / scale
    contrast = F.cross_entropy(-distance / config.temperature, units, reduction="none")
    loss = ((square + config.contrast_weight * contrast) * weights).sum() / weights.sum().clamp(min=1)
    tokens = units > 0
    hits = (distance.argmin(1) == units) & tokens
    return loss, hits.sum() / tokens.sum().clamp(min=1)


def word_ends(ends: Tensor, spaces: Tensor, frames: Tensor) -> list[Tensor]:
    """The frame at which each word of each row is over, its space included.

    ends (B, U): of `unit_ends`, of units of kind word; spaces (B, U): which of them end a word; frames (B,) of a row.
    Words of a row without an alignment share its frames evenly.
    """
    rows = []
    for row, found, size in zip(ends, spaces, frames, strict=True):
        until = row[found] + 1
        if (until < 1).any():
            until = size * torch.arange(1, len(until) + 1, device=ends.device) // len(until)
        rows.append(until)
    return rows


def aligned_words(until: Sequence[Tensor], words: Sequence[Tensor], frames: Tensor, chunk_frames: int) -> Said:
    """Words of transcripts as a search would find them: each is said a chunk after its end, if it is in the lexicon.

    until: of `word_ends`; words: numbers in the lexicon, -1 for one that is not there; frames (B,) of each row.
    """
    known = [row >= 0 for row in words]
    padded, lengths = pad_rows([row[some] for row, some in zip(words, known, strict=True)])
    times = pad_rows([row[some] for row, some in zip(until, known, strict=True)])[0]
    ends = chunk_ends(frames, int(frames.max()), chunk_frames)[..., None]
    said = (times[:, None] + chunk_frames <= ends) | (ends == frames[:, None, None])
    real = valid_mask(lengths, padded.shape[1])
    return Said(padded, lengths, (said & real[:, None]).sum(2), times)
