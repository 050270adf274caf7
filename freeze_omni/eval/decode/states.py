"""State decisions on duplex scenes, chunk by chunk, many scenes in lock step."""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from freeze_omni.data.tables import read_table
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.decode.listening import context


def decode(arguments: argparse.Namespace) -> None:
    """Write records.jsonl with the probabilities of the three states at every chunk, and `text`.

    The data directory holds wav.scp (16 kHz), states and scene.
    """
    started_s, config = time.time(), options.read_config(arguments.config).states
    table = read_table(arguments.data / "wav.scp")
    keys = sets.first_keys(table, config.scenes)
    records = options.open_records(arguments, config)
    todo = records.missing(keys)
    if todo:
        model = options.load_model(arguments.model, arguments.threads, arguments.seed)
        sounds = sets.read_sound(table, todo, model.rates.input_hz)
        lengths = {key: len(sound) for key, sound in sounds.items()}
        for batch in sets.batches(todo, lengths, config.batch):
            rows = stream(model, [sounds[key] for key in batch])
            records.add({"id": key, **row} for key, row in zip(batch, rows, strict=True))
            options.progress("states", len(records.found), len(keys), started_s)
    options.finish(arguments, {key: records.found[key]["transcript"] for key in keys}, started_s)


@torch.no_grad()
def stream(model, sounds) -> list[dict[str, object]]:
    """Probabilities (chunks, 3), rounded, and the transcript of each sound (S_i,), read step by step."""
    size = model.rates.chunk_samples
    chunks = [len(sound) // size for sound in sounds]
    wav, _ = sets.stack([sound[: max(count, 1) * size] for sound, count in zip(sounds, chunks, strict=True)])
    rows = len(sounds)
    states = [part.initial_state(rows) for part in (model.fbank, model.encoder, model.ctc, model.adapter)]
    cache = model.llm.new_cache()
    hidden, _ = model.llm(context(model).expand(rows, -1, -1), cache=cache)
    last = hidden[:, -1]
    said: list[list[list[float]]] = [[] for _ in sounds]
    units: list[list[int]] = [[] for _ in sounds]
    for chunk in range(max(chunks)):
        feats, states[0] = model.fbank.step(wav[:, chunk * size : (chunk + 1) * size], states[0])
        frames, states[1] = model.encoder.step(feats, states[1])
        logits = model.ctc(frames)
        new_units, states[2] = model.ctc.step(logits, states[2])
        sent, states[3] = model.adapter.step(frames, states[3], ctc_logits=logits)
        last = read(model, sent, cache, last)
        found = model.state_head(last[:, None], sent.summary[:, -1:])[:, 0].float().softmax(-1)
        for row, count in enumerate(chunks):
            if chunk < count:
                said[row].append([round(value, 4) for value in found[row].tolist()])
                units[row] += new_units[row]
    return [
        {"probabilities": row, "transcript": " ".join(model.units.decode(ids).split())}
        for row, ids in zip(said, units, strict=True)
    ]


def read(model, sent, cache, last: Tensor) -> Tensor:
    """The LLM reads what each row sent; the state (B, E) at each row's last position, old where it sent none."""
    if not sent.embeds.shape[1]:
        return last
    mask = torch.arange(sent.embeds.shape[1], device=last.device)[None] < sent.lengths[:, None]
    hidden, _ = model.llm(sent.embeds, mask, cache)
    index = (sent.lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, hidden.shape[2])
    return torch.where(sent.lengths[:, None] > 0, hidden.gather(1, index)[:, 0], last)
