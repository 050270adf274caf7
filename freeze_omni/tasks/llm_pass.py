"""The LLM learns to answer what it hears; the same LLM, reading the question, may be its teacher (ours)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import valid_mask
from freeze_omni.tasks.rows import join, predicting, text_loss, with_end

Piece = tuple[Tensor, Tensor]


class Turn(NamedTuple):
    """LLM ids (B, N), padded with anything, and lengths (B,): all before the user's turn, what is said in it, and the
    answer, of length 0 where there shall be none."""

    context: Piece
    question: Piece
    answer: Piece


class Written(NamedTuple):
    """hidden (B, P, E) of all positions, starts (B, pieces) of what they are joined from, and of the answers' N tokens
    in all rows together logits (N, V) and targets (N,)."""

    hidden: Tensor
    starts: Tensor
    logits: Tensor
    targets: Tensor


def answer_turn(
    llm: FrozenLLM, turn: Turn, heard: Sequence[Piece], kl_weight: float = 0.0
) -> tuple[Tensor, dict[str, Tensor], Written]:
    """Cross entropy of the answer to what was heard, and kl_weight times the divergence from the teacher.

    heard: embeddings (B, P, E) and lengths of what stands between the context and the turn's end.
    Returns: the loss; loss_answer (the cross entropy), acc, and kl where it has a weight; what was written.
    """
    context = _embedded(llm, turn.context)
    written = _write(llm, [context, *heard], turn.answer)
    loss, acc = text_loss(written.logits, written.targets)
    stats = {"loss_answer": loss, "acc": acc}
    if kl_weight:
        with torch.no_grad():
            read = _write(llm.plain, [context, _embedded(llm, turn.question)], turn.answer)
        stats["kl"] = divergence(read.logits, written.logits)
        loss = loss + kl_weight * stats["kl"]
    return loss, stats, written


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean over tokens of KL(teacher || student), both logits (N, V); zero where N is 0."""
    if len(student) == 0:
        return student.sum() * 0.0
    wanted, given = teacher.float().log_softmax(-1), student.float().log_softmax(-1)
    return F.kl_div(given, wanted, log_target=True, reduction="batchmean")


def _embedded(llm: FrozenLLM, piece: Piece) -> Piece:
    ids, lengths = piece
    return llm.embed(ids.clamp(min=0)), lengths


def _write(llm: FrozenLLM, opening: Sequence[Piece], answer: Piece) -> Written:
    """Read `opening`; then, where there is an answer, the turn's end and the answer."""
    ids, lengths = answer
    answered = lengths > 0
    targets, lengths = with_end(ids, lengths, llm.chat.end_id)
    lengths = lengths.where(answered, 0)
    suffix = torch.tensor(llm.chat.user_suffix(), device=ids.device).expand(len(ids), -1)
    closing = (llm.embed(suffix), suffix.shape[1] * answered.long())
    joined = join([*opening, closing, (llm.embed(targets), (lengths - 1).clamp(min=0))])
    hidden, _ = llm(joined.embeds, joined.mask)
    states = predicting(hidden, joined.starts[:, -1], torch.full_like(lengths, targets.shape[1]))
    real = valid_mask(lengths, targets.shape[1])
    return Written(hidden, joined.starts, llm.logits(states[real]), targets[real])
