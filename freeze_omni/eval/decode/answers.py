"""Greedy answers to batches of positions, which need not be token ids (speech is not)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask


@torch.no_grad()
def greedy_answers(llm: FrozenLLM, rows: Sequence[Tensor], max_new_tokens: int) -> list[list[int]]:
    """Positions (P_i, E) to the ids of the answer that follows each; end tokens are left out.

    Rows that have ended leave the batch.
    """
    embeds, lengths = pad_rows(list(rows))
    cache = llm.new_cache()
    hidden = llm(embeds, valid_mask(lengths, embeds.shape[1]), cache)[0]
    hidden = hidden[torch.arange(len(rows), device=hidden.device), lengths - 1]
    answers: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))
    for _ in range(max_new_tokens):
        drawn = llm.logits(hidden).argmax(-1)
        going = [i for i, token in enumerate(drawn.tolist()) if token not in llm.end_ids]
        if len(going) < len(alive):
            picked = torch.tensor(going, dtype=torch.long, device=hidden.device)
            cache.pick(picked)
            drawn, alive = drawn[picked], [alive[i] for i in going]
        if not alive:
            break
        for row, token in zip(alive, drawn.tolist(), strict=True):
            answers[row].append(token)
        hidden = llm(llm.embed(drawn[:, None]), cache=cache)[0][:, -1]
    return answers
