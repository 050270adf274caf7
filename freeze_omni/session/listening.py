"""One user turn, chunk by chunk: samples to the words heard, LLM positions and state probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.session.events import Heard
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Ears, Hear, Job, Read, drive, new_ears


@dataclass(frozen=True)
class Turn:
    """An open user turn. `body` are the positions read so far behind the turn's prefix: prompt and speech.

    last (E,) is the hidden state of the last position read; cache belongs to this turn alone. unread (P, E): what
    opens the turn, until the LLM reads it together with the first speech.
    """

    ears: Ears
    cache: LlmCache
    unread: Tensor | None
    last: Tensor | None = None
    units: tuple[int, ...] = ()
    text: str = ""
    body: tuple[Tensor, ...] = ()


def open_turn(model: SpokenModel, cache: LlmCache, prefix: list[int]) -> Turn:
    """Fresh streaming states; prefix and prompt are to be read into `cache`.

    prefix: LLM ids of the chat template that open the user's turn.
    """
    with torch.no_grad():
        start = model.llm.embed(torch.tensor(prefix, device=model.llm.model.device))
        prompt = model.prompt.weight.detach().to(start.dtype)
    return Turn(new_ears(model), cache, torch.cat([start, prompt]), body=(prompt,))


def hearing(model: SpokenModel, samples: np.ndarray, turn: Turn) -> Job[tuple[Heard, Turn]]:
    """Read whole chunks (k * chunk_samples,); the state is that at the end of the last.

    A chunk in which the adapter sent no position reads the state at the last position before it, which
    the chunk's summary (mean encoder frame) tells apart from the chunk before.
    """
    sent, ears = yield Hear(samples, turn.ears)
    embeds = sent.embeds if turn.unread is None else torch.cat([turn.unread, sent.embeds.to(turn.unread.dtype)])
    last, body = turn.last, turn.body
    if len(embeds):
        hidden = yield Read(embeds, turn.cache)
        last = hidden[-1].clone()
    if len(sent.embeds):
        body = (*body, sent.embeds)
    with torch.no_grad():
        states = model.state_head(last[None, None], sent.summary[None])
    probabilities = states[0, -1].float().softmax(-1).tolist()
    units = (*turn.units, *sent.units)
    heard = Heard(_new_text(turn.text, model.units.decode(list(units))), tuple(probabilities))
    text = turn.text + heard.transcript
    return heard, replace(turn, ears=ears, unread=None, last=last, units=units, text=text, body=body)


def listen(model: SpokenModel, samples: np.ndarray, turn: Turn) -> tuple[Heard, Turn]:
    """`hearing`, at once."""
    return drive(model, hearing(model, samples, turn))


def _new_text(before: str, now: str) -> str:
    """What `now` adds; a unit that changed the text before it (a byte of a character) gives nothing."""
    return now[len(before) :] if now.startswith(before) else ""
