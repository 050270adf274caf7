"""Batches of speech through encoder, CTC head and adapter, and what the LLM is given of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from freeze_omni.adapter.output import AdapterOutput
from freeze_omni.eval.decode.sets import Turns, stack
from freeze_omni.session.history import embed
from freeze_omni.session.model import SpokenModel
from freeze_omni.shapes import pad_rows


class HeardBatch(NamedTuple):
    """texts of the CTC head, encoder frames of each row, and the adapter's positions."""

    texts: list[str]
    frames: list[int]
    adapted: AdapterOutput


@torch.no_grad()
def hear(model: SpokenModel, sounds: Sequence[np.ndarray], chunk_size: int | None = None) -> HeardBatch:
    """Samples (S_i,) at the input rate. chunk_size: encoder frames, 0 infinite, None as configured."""
    wav, lengths = stack(sounds)
    device = model.llm.model.device
    feats, lengths = model.fbank(wav.to(device), lengths.to(device))
    frames, lengths = model.encoder(feats, lengths, chunk_size=chunk_size)
    logits = model.ctc(frames)
    texts = [model.units.decode(ids) for ids in model.ctc.greedy(logits, lengths)]
    return HeardBatch(texts, lengths.tolist(), model.adapter(frames, lengths, ctc_logits=logits))


def context(model: SpokenModel, turns: Turns = ()) -> Tensor:
    """Positions (P, E) of the system turn, of earlier rounds in writing, the user's prefix and the prompt.

    Stage 1.3 trains on the same.
    """
    chat = model.llm.chat
    opening = embed(model, chat.dialogue(model.system_prompt, turns) + chat.user_prefix(first=not turns))
    return torch.cat([opening, model.prompt.weight.to(opening.dtype)])


@torch.no_grad()
def state_probabilities(
    model: SpokenModel, heard: HeardBatch, contexts: Sequence[Tensor] = ()
) -> list[list[list[float]]]:
    """Probabilities of (0, 1, 2) at every chunk of each row, by one pass over all positions.

    contexts: what each row is read behind; without, first turns. By the law of streaming parts the same as chunk by
    chunk; tests hold it to that.
    """
    adapted = heard.adapted
    contexts = contexts or [context(model)] * len(adapted.embeds)
    rows = [
        torch.cat([before, embeds[:size].to(before.dtype)])
        for before, embeds, size in zip(contexts, adapted.embeds, adapted.lengths, strict=True)
    ]
    embeds, lengths = pad_rows(rows)
    mask = torch.arange(embeds.shape[1], device=lengths.device)[None] < lengths[:, None]
    hidden, _ = model.llm(embeds, mask)
    sizes = torch.tensor([len(before) for before in contexts], device=adapted.ends.device)
    last = sizes[:, None] + adapted.ends - 1
    at_ends = hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[2]))
    found = model.state_head(at_ends, adapted.summary).float().softmax(-1)
    chunks = [-(-frames // model.rates.chunk_frames) for frames in heard.frames]
    return [row[:count].tolist() for row, count in zip(found, chunks, strict=True)]
