"""A pass of a batch through the frozen LLM, and the losses of the text that it writes."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.tasks.parts_model import pairs

LOGITS_AT_ONCE = 2**26  # 256 MB in float32
Piece = tuple[Tensor, Tensor]
"""Ids (B, N) or embeddings (B, N, E), padded with anything, and lengths (B,)."""


class Joined(NamedTuple):
    """Pieces joined: embeds (B, P, E) padded on the right, lengths (B,), starts (B, number of pieces)."""

    embeds: Tensor
    lengths: Tensor
    starts: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, P) bool, True where a position is real."""
        return valid_mask(self.lengths, self.embeds.shape[1])


def join(pieces: Sequence[Piece]) -> Joined:
    """Pieces of embeddings one after another in each row, without the padding between them."""
    sizes = torch.stack([lengths for _, lengths in pieces], dim=1)
    rows = [torch.cat([embeds[row, : lengths[row]] for embeds, lengths in pieces]) for row in range(len(sizes))]
    embeds, lengths = pad_rows(rows)
    return Joined(embeds, lengths, sizes.cumsum(1) - sizes)


def with_end(ids: Tensor, lengths: Tensor, end_id: int) -> Piece:
    """Ids (B, N) padded with anything, and an end id after each row's last: (B, N + 1), lengths + 1."""
    longer = F.pad(ids, (0, 1), value=end_id)
    position = torch.arange(longer.shape[1], device=ids.device)
    return longer.where(position < lengths[:, None], end_id), lengths + 1


def predicting(hidden: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """The states (B, max length, E) that predict a piece: of the position before each of its positions.

    starts (B,): where the piece starts in `hidden` (B, P, E); lengths (B,) of the piece. After the lengths: anything.
    """
    offset = torch.arange(int(lengths.max()), device=hidden.device)
    index = (starts[:, None] - 1 + offset).clamp(0, hidden.shape[1] - 1)
    return hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[2]))


def embedded(llm: FrozenLLM, piece: Piece) -> Piece:
    return llm.embed(piece[0].clamp(min=0)), piece[1]


class TurnIds(NamedTuple):
    """LLM ids: all before the user's turn, what is said in it, and the answer, of length 0 if there is none."""

    context: Piece
    question: Piece
    answer: Piece


def turn_of(batch: Mapping[str, Tensor]) -> TurnIds:
    return TurnIds(*pairs(batch, *TurnIds._fields))


class Written(NamedTuple):
    """hidden (B, P, E) of all positions, starts (B, pieces) of what they are joined from, and of the text's N tokens
    in all rows together the states (N, E) that predict them, and targets (N,)."""

    hidden: Tensor
    starts: Tensor
    states: Tensor
    targets: Tensor


def write(
    llm: FrozenLLM, opening: Sequence[Piece], targets: Tensor, lengths: Tensor, learning: Tensor | None = None
) -> Written:
    """Teacher forcing: read embeddings `opening`, then targets (B, N) but the last; lengths (B,), 0 for no text.
    learning (B,) bool: rows with a gradient, None for all; the others cost no backward pass."""
    joined = join([*opening, (llm.embed(targets), (lengths - 1).clamp(min=0))])
    hidden = _read(llm, joined, learning)
    states = predicting(hidden, joined.starts[:, -1], torch.full_like(lengths, targets.shape[1]))
    real = valid_mask(lengths, targets.shape[1])
    return Written(hidden, joined.starts, states[real], targets[real])


def _read(llm: FrozenLLM, joined: Joined, learning: Tensor | None) -> Tensor:
    """Hidden states (B, P, E) of all positions."""
    if learning is None or learning.all():
        return llm(joined.embeds, joined.mask)[0]
    found = []
    for rows, has_gradient in ((learning, torch.is_grad_enabled()), (~learning, False)):
        if not rows.any():
            continue
        longest = int(joined.lengths[rows].max())
        with torch.set_grad_enabled(has_gradient):
            hidden = llm(joined.embeds[rows, :longest], joined.mask[rows, :longest])[0]
        found.append(F.pad(hidden, (0, 0, 0, joined.embeds.shape[1] - longest)))
    order = torch.cat([learning.nonzero()[:, 0], (~learning).nonzero()[:, 0]])
    return torch.cat(found)[order.argsort()]


class TextLosses(NamedTuple):
    """Means over a text's tokens, zeros where there are none: cross entropy, share of tokens that are the likeliest,
    and KL(teacher || student) or None."""

    cross_entropy: Tensor
    accuracy: Tensor
    divergence: Tensor | None


def text_losses(llm: FrozenLLM, written: Written, teacher: Written | None = None) -> TextLosses:
    """At most `LOGITS_AT_ONCE` logits are there at a time: more tokens go in pieces, each of which is computed again
    for its gradient. (torch's linear_cross_entropy has no scaled or capped logits, and no divergence.)

    teacher: the same text, written by `llm.plain`, without gradient.
    """
    count = len(written.targets)
    read = None if teacher is None else teacher.states
    if count == 0:
        zero = written.states.float().sum() * 0.0
        return TextLosses(zero, zero.detach(), None if read is None else zero)
    size = max(1, LOGITS_AT_ONCE // llm.vocab_size)
    if count <= size:
        sums = _sums(llm, written.states, written.targets, read)
    else:
        pieces = zip(*(each.split(size) for each in (written.states, written.targets)), strict=True)
        reads = [None] * -(-count // size) if read is None else read.split(size)
        found = [_sums_again(llm, *piece, one) for piece, one in zip(pieces, reads, strict=True)]
        sums = torch.stack(found).sum(0)
    # each on its own: ESPnet's trainer divides a loss in place
    return TextLosses(sums[0] / count, sums[1].detach() / count, None if read is None else sums[2] / count)


def _sums(llm: FrozenLLM, states: Tensor, targets: Tensor, read: Tensor | None) -> Tensor:
    """(3,): cross entropy, tokens that are the likeliest, and divergence from what the teacher's states `read` say."""
    logits = llm.logits(states).float()
    cross_entropy = F.cross_entropy(logits, targets, reduction="sum")
    hits, divergence = (logits.argmax(-1) == targets).float().sum(), torch.zeros_like(cross_entropy)
    if read is not None:
        with torch.no_grad():
            wanted = llm.plain.logits(read).float().log_softmax(-1)
        divergence = F.kl_div(logits.log_softmax(-1), wanted, log_target=True, reduction="sum")
    return torch.stack([cross_entropy, hits, divergence])


_sums_again = partial(checkpoint, _sums, use_reentrant=False, preserve_rng_state=False)


def answer_turn(
    llm: FrozenLLM,
    turn: TurnIds,
    heard: Sequence[Piece],
    kl_weight: float = 0.0,
    context: Piece | None = None,
    only_answers: bool = False,
) -> tuple[Tensor, dict[str, Tensor], Written]:
    """Cross entropy of the answer to what was heard, and kl_weight times the divergence from the teacher.

    The teacher (ours) is the same LLM, which reads the question in text and has nothing learned. heard: embeddings
    between the context and the turn's end. context: embeddings in place of the turn's context, for all but the teacher.
    only_answers: turns without an answer are read without a gradient.
    Returns: the loss; loss_answer (the cross entropy), acc, and kl if it has a weight; what was written.
    """
    learning = turn.answer[1] > 0 if only_answers else None
    written = _write_answer(llm, [context or embedded(llm, turn.context), *heard], turn.answer, learning)
    read = None
    if kl_weight:
        with torch.no_grad():
            question = [embedded(llm, turn.context), embedded(llm, turn.question)]
            read = _write_answer(llm.plain, question, turn.answer)
    losses = text_losses(llm, written, read)
    loss, stats = losses.cross_entropy, {"loss_answer": losses.cross_entropy, "acc": losses.accuracy}
    if losses.divergence is not None:
        stats["kl"] = losses.divergence
        loss = loss + kl_weight * losses.divergence
    return loss, stats, written


def _write_answer(llm: FrozenLLM, opening: Sequence[Piece], answer: Piece, learning: Tensor | None = None) -> Written:
    """Read `opening`; then, if there is an answer, the turn's end, and write the answer."""
    ids, lengths = answer
    answered = (lengths > 0).long()
    targets, lengths = with_end(ids, lengths, llm.chat.end_id)
    suffix = torch.tensor(llm.order.suffix(), device=ids.device).expand(len(ids), -1)
    closing = (llm.embed(suffix), suffix.shape[1] * answered)
    return write(llm, [*opening, closing], targets, lengths * answered, learning)
