"""One user turn, chunk by chunk: samples to the words heard, LLM positions and state probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.session.events import Heard
from freeze_omni.session.model import SpokenModel
from freeze_omni.streaming import State


@dataclass(frozen=True)
class Turn:
    """An open user turn. `body` are the positions read so far behind the turn's prefix: prompt and speech.

    last (E,) is the hidden state of the last position read; cache belongs to this turn alone.
    """

    fbank: State
    encoder: State
    ctc: State
    adapter: State
    cache: LlmCache
    last: Tensor
    units: tuple[int, ...] = ()
    text: str = ""
    body: tuple[Tensor, ...] = ()


@torch.no_grad()
def open_turn(model: SpokenModel, cache: LlmCache, prefix: list[int]) -> Turn:
    """Fresh streaming states; the LLM reads the turn's prefix and the prompt into `cache`.

    prefix: LLM ids of the chat template that open the user's turn.
    """
    device = model.llm.model.device
    opening = model.llm.embed(torch.tensor([prefix], device=device))
    prompt = model.prompt.weight.to(opening.dtype)[None]
    hidden, _ = model.llm(torch.cat([opening, prompt], dim=1), cache=cache)
    return Turn(
        fbank=model.fbank.initial_state(1, device),
        encoder=model.encoder.initial_state(1),
        ctc=model.ctc.initial_state(1),
        adapter=model.adapter.initial_state(1),
        cache=cache,
        last=hidden[0, -1],
        body=(prompt[0],),
    )


@torch.no_grad()
def listen(model: SpokenModel, samples: np.ndarray, turn: Turn) -> tuple[Heard, Turn]:
    """Read one chunk (chunk_samples,).

    A chunk in which the adapter sent no position reads the state at the last position before it, which
    the chunk's summary (mean encoder frame) tells apart from the chunk before.
    """
    wav = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
    wav = wav.to(model.llm.model.device)
    feats, fbank = model.fbank.step(wav, turn.fbank)
    frames, encoder = model.encoder.step(feats, turn.encoder)
    logits = model.ctc(frames)
    units, ctc = model.ctc.step(logits, turn.ctc)
    sent, adapter = model.adapter.step(frames, turn.adapter, ctc_logits=logits)
    last, body = turn.last, turn.body
    if int(sent.lengths[0]):
        hidden, _ = model.llm(sent.embeds, cache=turn.cache)
        last, body = hidden[0, -1], (*body, sent.embeds[0])
    states = model.state_head(last[None, None], sent.summary[:, -1:])
    probabilities = states[0, -1].float().softmax(-1).tolist()
    heard_units = (*turn.units, *units[0])
    text = model.units.decode(list(heard_units))
    heard = Heard(_new_text(turn.text, text), tuple(probabilities))
    turn = replace(
        turn,
        fbank=fbank,
        encoder=encoder,
        ctc=ctc,
        adapter=adapter,
        last=last,
        units=heard_units,
        text=turn.text + heard.transcript,
        body=body,
    )
    return heard, turn


def _new_text(before: str, now: str) -> str:
    """What `now` adds; a unit that changed the text before it (a byte of a character) gives nothing."""
    return now[len(before) :] if now.startswith(before) else ""
