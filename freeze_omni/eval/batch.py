"""Batches of speech and of positions through the model: what it hears, when it would answer, what it answers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from freeze_omni.duplex.state_head import chunk_hidden
from freeze_omni.eval.sets import stack
from freeze_omni.listening import ListeningOutput
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, generate_rows
from freeze_omni.llm.order import Rounds
from freeze_omni.session.history import embed
from freeze_omni.shapes import pad_rows, valid_mask
from freeze_omni.system import FreezeOmni


@torch.no_grad()
def hear(model: FreezeOmni, sounds: Sequence[np.ndarray], chunk_size: int | None = None) -> ListeningOutput:
    """Samples (S_i,) at the input rate. chunk_size: encoder frames, 0 for infinite, None as configured."""
    wav, lengths = model.listening.with_end(*stack(sounds))
    return model.listening(wav.to(model.device), lengths.to(model.device), chunk_size)


def texts(model: FreezeOmni, heard: ListeningOutput) -> list[str]:
    """Transcripts of the CTC head."""
    return [" ".join(model.written(ids).split()) for ids in model.listening.units(heard)]


def context(model: FreezeOmni, rounds: Rounds = ()) -> Tensor:
    """Positions (P, E) before the speech of a turn: system, earlier rounds in text, user prefix, prompt."""
    opening = embed(model, model.llm.order.before_turn(model.system_prompt, rounds))
    return torch.cat([opening, model.prompt.weight.to(opening.dtype)])


class ReadTurns(NamedTuple):
    """Spoken turns as the LLM has read them. hidden (B, P, E); first (B,): index of the first position of speech."""

    hidden: Tensor
    first: Tensor

    def last(self, row: int, size: int) -> Tensor | None:
        """The hidden state (E,) at the end of `size` positions of speech; None without any."""
        return self.hidden[row, int(self.first[row]) + size - 1] if size else None


@torch.no_grad()
def read_turns(model: FreezeOmni, heard: ListeningOutput, contexts: Sequence[Tensor] = ()) -> ReadTurns:
    """One pass over all rows. contexts: what stands before each; default: first turns."""
    adapted = heard.adapted
    contexts = contexts or [context(model)] * len(adapted.embeds)
    rows = [
        model.llm.order.spoken_turn(before, embeds[:size])
        for before, embeds, size in zip(contexts, adapted.embeds, adapted.lengths, strict=True)
    ]
    embeds, lengths = pad_rows(rows)
    hidden, _ = model.llm(embeds, valid_mask(lengths, embeds.shape[1]))
    return ReadTurns(hidden, torch.tensor([len(before) for before in contexts], device=adapted.ends.device))


@torch.no_grad()
def state_probabilities(model: FreezeOmni, heard: ListeningOutput, read: ReadTurns) -> list[list[list[float]]]:
    """Probabilities of states 0, 1, 2 at every chunk of each row."""
    adapted = heard.adapted
    at_chunks = chunk_hidden(read.hidden, read.first, adapted.ends)
    found = model.state_head(at_chunks, adapted.summary).float().softmax(-1)
    chunks = [-(-frames // model.rates.chunk_frames) for frames in heard.lengths.tolist()]
    return [row[:count].tolist() for row, count in zip(found, chunks, strict=True)]


def closed_turns(model: FreezeOmni, rows: Sequence[Tensor], last: Sequence[Tensor | None]) -> list[Tensor]:
    """Spoken turns, each with all that is before it (P_i, E), with the positions that close them, as in a session.
    last: the LLM's hidden state (E,) at the end of each, None where nothing was said."""
    said = [state for state in last if state is not None]
    marks = iter(model.turn_marks(torch.stack(said)) if said else [])
    ends = ["" if state is None else next(marks) for state in last]
    return [torch.cat([row, embed(model, model.turn_end(mark))]) for row, mark in zip(rows, ends, strict=True)]


def greedy_answers(llm: FrozenLLM, rows: Sequence[Tensor], max_new_tokens: int) -> list[list[int]]:
    """Positions (P_i, E) to the ids of the answer after each, without end tokens."""
    return [one.ids for one in generate_rows(llm, rows, GenerationConfig(max_new_tokens))]


def decoded(llm: FrozenLLM, ids: list[int]) -> str:
    return " ".join(llm.tokenizer.decode(ids, skip_special_tokens=True).split())
