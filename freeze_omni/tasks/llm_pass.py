"""A pass of a batch through the frozen LLM, and the losses of the text that it writes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.tasks.parts_model import pairs

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


def text_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy and accuracy of logits (N, V) and targets (N,); zeros where N is 0."""
    if len(targets) == 0:
        return logits.sum() * 0.0, logits.new_zeros(())
    return F.cross_entropy(logits.float(), targets), (logits.argmax(-1) == targets).float().mean()


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean over tokens of KL(teacher || student), both logits (N, V); zero where N is 0."""
    if len(student) == 0:
        return student.sum() * 0.0
    wanted, given = teacher.float().log_softmax(-1), student.float().log_softmax(-1)
    return F.kl_div(given, wanted, log_target=True, reduction="batchmean")


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
    in all rows together logits (N, V) and targets (N,)."""

    hidden: Tensor
    starts: Tensor
    logits: Tensor
    targets: Tensor


def write(llm: FrozenLLM, opening: Sequence[Piece], targets: Tensor, lengths: Tensor) -> Written:
    """Teacher forcing: read embeddings `opening`, then targets (B, N) but the last; lengths (B,), 0 for no text."""
    joined = join([*opening, (llm.embed(targets), (lengths - 1).clamp(min=0))])
    hidden, _ = llm(joined.embeds, joined.mask)
    states = predicting(hidden, joined.starts[:, -1], torch.full_like(lengths, targets.shape[1]))
    real = valid_mask(lengths, targets.shape[1])
    return Written(hidden, joined.starts, llm.logits(states[real]), targets[real])


def answer_turn(
    llm: FrozenLLM, turn: TurnIds, heard: Sequence[Piece], kl_weight: float = 0.0, context: Piece | None = None
) -> tuple[Tensor, dict[str, Tensor], Written]:
    """Cross entropy of the answer to what was heard, and kl_weight times the divergence from the teacher.

    The teacher (ours) is the same LLM, which reads the question in text and has nothing learned. heard: embeddings
    between the context and the turn's end. context: embeddings in place of the turn's context, for all but the teacher.
    Returns: the loss; loss_answer (the cross entropy), acc, and kl if it has a weight; what was written.
    """
    written = _write_answer(llm, [context or embedded(llm, turn.context), *heard], turn.answer)
    loss, acc = text_loss(written.logits, written.targets)
    stats = {"loss_answer": loss, "acc": acc}
    if kl_weight:
        with torch.no_grad():
            question = [embedded(llm, turn.context), embedded(llm, turn.question)]
            read = _write_answer(llm.plain, question, turn.answer)
        stats["kl"] = divergence(read.logits, written.logits)
        loss = loss + kl_weight * stats["kl"]
    return loss, stats, written


def _write_answer(llm: FrozenLLM, opening: Sequence[Piece], answer: Piece) -> Written:
    """Read `opening`; then, if there is an answer, the turn's end, and write the answer."""
    ids, lengths = answer
    answered = (lengths > 0).long()
    targets, lengths = with_end(ids, lengths, llm.chat.end_id)
    suffix = torch.tensor(llm.order.suffix(), device=ids.device).expand(len(ids), -1)
    closing = (llm.embed(suffix), suffix.shape[1] * answered)
    return write(llm, [*opening, closing], targets, lengths * answered)
