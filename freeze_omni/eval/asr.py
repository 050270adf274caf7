"""Transcripts: by the CTC head at several chunk sizes, and by the LLM through the task tokens."""

from __future__ import annotations

import argparse
import time

import torch

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval.config import AsrDecodeConfig
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.decode.answers import greedy_answers
from freeze_omni.eval.decode.listening import hear

_HELD = 1000  # utterances whose sound is in memory at once


def chunk_name(chunk_size: int) -> str:
    """`chunk4`, and `chunk_inf` for 0."""
    return f"chunk{chunk_size}" if chunk_size else "chunk_inf"


def decode(arguments: argparse.Namespace) -> None:
    """Write records.jsonl, and `text.<chunk>` for each chunk size; `text` is that of the first."""
    started_s, config = time.time(), options.read_config(arguments.config).asr
    table = read_table(arguments.data / "wav.scp")
    keys = sets.first_keys(table, config.utterances)
    records = options.open_records(arguments, config)
    todo = records.missing(keys)
    if todo:
        model = options.load_model(arguments.model, arguments.threads, arguments.seed)
        if not model.transcribes:
            raise ConfigError(f"{arguments.model}: no CTC head (imported?), so it writes no transcript: leave ASR out")
        if config.llm and not hasattr(model, "task_tokens"):
            raise ConfigError(f"{arguments.model}: no task_tokens in it; pack them too, or set asr.llm: false")
        for group in (todo[start : start + _HELD] for start in range(0, len(todo), _HELD)):
            sounds = sets.read_sound(table, group, model.rates.input_hz)
            lengths = {key: len(sound) for key, sound in sounds.items()}
            for batch in sets.batches(group, lengths, config.batch):
                texts = transcribe(model, [sounds[key] for key in batch], config)
                records.add(
                    {"id": key, "seconds": lengths[key] / model.rates.input_hz, "texts": row}
                    for key, row in zip(batch, texts, strict=True)
                )
                options.progress("asr", len(records.found), len(keys), started_s)
    names = [chunk_name(size) for size in config.chunk_sizes] + ["llm"] * config.llm
    for name in names:
        found = {key: records.found[key]["texts"][name] for key in keys}
        write_table(arguments.output / f"text.{name}", found)
    options.finish(arguments, {key: records.found[key]["texts"][names[0]] for key in keys}, started_s)


@torch.no_grad()
def transcribe(model, sounds, config: AsrDecodeConfig) -> list[dict[str, str]]:
    """For each sound the text of every way to decode it, by name."""
    rows: list[dict[str, str]] = [{} for _ in sounds]
    for size in config.chunk_sizes:
        for row, text in zip(rows, hear(model, sounds, size).texts, strict=True):
            row[chunk_name(size)] = " ".join(text.split())
    if config.llm:
        for row, text in zip(rows, by_llm(model, sounds, config.llm_max_tokens), strict=True):
            row["llm"] = " ".join(text.split())
    return rows


def by_llm(model, sounds, max_tokens: int) -> list[str]:
    """What the frozen LLM writes behind task tokens and speech, as stage 1.2 trained it."""
    adapted = hear(model, sounds).adapted
    tasks = model.task_tokens.weight
    rows = [
        torch.cat([tasks, embeds[:size].to(tasks.dtype)])
        for embeds, size in zip(adapted.embeds, adapted.lengths, strict=True)
    ]
    answers = greedy_answers(model.llm, rows, max_tokens)
    return [model.llm.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
