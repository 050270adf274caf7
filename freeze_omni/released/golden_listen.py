"""Recorded runs, the listening half: features, encoder, adapter, and two turns of a dialogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from freeze_omni.listening import ListeningOutput
from freeze_omni.llm.generate import GenerationConfig, generate
from freeze_omni.system import FreezeOmni

ANSWER_TOKENS = 24  # of a recorded answer, at most
TURNS = 2
Recording = Mapping[str, np.ndarray]
Found = Iterator[tuple[str, np.ndarray]]


def heard_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """Fresh caches at the start, one chunk at a time; a chunk's features after those that overlap, zeros at first."""
    wav, overlap = _wav(model, recording), model.rates.overlap_feats
    listening = model.listening
    state = listening.initial_state(1)
    before = wav.new_zeros(1, overlap, model.rates.mel_bins)
    chunks, frames, positions = [], [], []
    for samples in wav.split(model.rates.chunk_samples, dim=1):
        out, state = listening.step(samples, state)
        chunks.append(torch.cat([before, out.feats], dim=1)[0])
        before = out.feats[:, -overlap:]
        frames.append(out.frames[0])
        positions.append(out.adapted.embeds[0])
    yield "fbank_chunks", torch.stack(chunks).numpy()
    yield "encoder_out", torch.cat(frames).numpy()
    yield "adapter_out", torch.cat(positions).numpy()


def heard_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """All of the audio in one pass."""
    out = _all_at_once(model, recording)
    overlap, size = model.rates.overlap_feats, model.rates.chunk_feats
    padded = torch.nn.functional.pad(out.feats[0], (0, 0, overlap, 0))
    yield "fbank_chunks", padded.unfold(0, size + overlap, size).transpose(1, 2).contiguous().numpy()
    yield "encoder_out", out.frames[0].numpy()
    yield "adapter_out", out.adapted.embeds[0].numpy()


def dialogue_step_by_step(model: FreezeOmni, recording: Recording) -> Found:
    """The same audio as two user turns, each with a greedy answer; the state head reads after every step."""
    llm, cache = model.llm, model.llm.new_cache()
    positions = dict(heard_step_by_step(model, recording))["adapter_out"]
    steps = torch.from_numpy(positions).split(model.rates.chunk_frames // model.rates.adapter_downsample)
    last = llm(_embed(model, llm.order.system(model.system_prompt))[None], cache=cache)[0][0, -1]
    states = [_probabilities(model, last)]
    answers: list[tuple[np.ndarray, np.ndarray]] = []
    for turn in range(TURNS):
        opening = [_embed(model, llm.order.prefix(first=turn == 0)), model.prompt.weight]
        for speech in steps:
            last = llm(torch.cat([*opening, speech])[None], cache=cache)[0][0, -1]
            states.append(_probabilities(model, last))
            opening = []
        last = llm(_embed(model, llm.order.suffix())[None], cache=cache)[0][0, -1]
        most = _most(recording, turn)
        made = list(generate(llm, last, cache, GenerationConfig(max_new_tokens=most)))
        hidden = torch.stack([state for _, state in made]) if made else last.new_zeros(0, llm.hidden_size)
        answers.append((np.array([token for token, _ in made], dtype=np.int64), hidden.float().numpy()))
    yield "state_probs", torch.stack(states).numpy()
    for turn, (ids, hidden) in enumerate(answers):
        yield f"round{turn}_ids", ids
        yield f"round{turn}_hidden", hidden


def dialogue_at_once(model: FreezeOmni, recording: Recording) -> Found:
    """The LLM reads both turns with the recorded answers in one pass; each token is the likeliest one there."""
    llm = model.llm
    speech = _all_at_once(model, recording).adapted.embeds[0]
    step = model.rates.chunk_frames // model.rates.adapter_downsample
    pieces = [_embed(model, llm.order.system(model.system_prompt))]
    length = len(pieces[0])
    asked, starts = [length - 1], []
    for turn in range(TURNS):
        ids = recording[f"round{turn}_ids"].tolist()
        read = ids[:-1] if len(ids) >= _most(recording, turn) else ids  # the last of a full answer is not read
        prefix, suffix = _embed(model, llm.order.prefix(first=turn == 0)), _embed(model, llm.order.suffix())
        first = length + len(prefix) + len(model.prompt.weight)
        asked += range(first + step - 1, first + len(speech), step)
        turn_pieces = [prefix, llm.order.spoken_turn(model.prompt.weight, speech, suffix, _embed(model, read))]
        length += sum(map(len, turn_pieces))
        starts.append(length - len(read) - 1)
        pieces += turn_pieces
    hidden = llm(torch.cat(pieces)[None])[0][0]
    yield "state_probs", torch.stack([_probabilities(model, hidden[index]) for index in asked]).numpy()
    for turn, start in enumerate(starts):
        ids = recording[f"round{turn}_ids"]
        states = hidden[start : start + len(ids)]
        yield f"round{turn}_ids", llm.logits(states).argmax(-1).numpy()
        yield f"round{turn}_hidden", states.float().numpy()


def _wav(model: FreezeOmni, recording: Recording) -> Tensor:
    """Whole chunks of the recorded audio, (1, S)."""
    wav = torch.from_numpy(recording["wav16k"]).float()
    return wav[None, : len(wav) // model.rates.chunk_samples * model.rates.chunk_samples]


def _all_at_once(model: FreezeOmni, recording: Recording) -> ListeningOutput:
    wav = _wav(model, recording)
    return model.listening(wav, torch.tensor([wav.shape[1]]))


def _embed(model: FreezeOmni, ids: list[int]) -> Tensor:
    return model.llm.embed(torch.tensor(ids, dtype=torch.long))


def _probabilities(model: FreezeOmni, hidden: Tensor) -> Tensor:
    return model.state_head(hidden).float().softmax(-1)


def _most(recording: Recording, turn: int) -> int:
    return max(ANSWER_TOKENS, len(recording.get(f"round{turn}_ids", ())))
