"""The voice on test sentences: every top-k with and without the NAR prefix.

A dialogue set gives questions (`text`) and answers (`answer`): only there has the prefix hidden states to read. A
plain set (`text`) is spoken without.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval.config import TtsDecodeConfig
from freeze_omni.eval.decode import options, sets, speaker
from freeze_omni.session.answer import own_sampling
from freeze_omni.session.history import embed
from freeze_omni.shapes import pad_rows
from freeze_omni.speech_decoder.generate import generate_batch
from freeze_omni.speech_decoder.sampling import SamplingConfig


def setting_name(top_k: int, prefix: bool) -> str:
    return f"{'prefix' if prefix else 'no_prefix'}_top{top_k}"


def decode(arguments: argparse.Namespace) -> None:
    """Write wav/<setting>/<id>.wav, and <setting>/wav.scp beside `text`, which all are scored against."""
    started_s, whole = time.time(), options.read_config(arguments.config)
    config = whole.tts
    texts, questions = read_set(arguments.data)
    keys = sets.first_keys(texts, config.sentences)
    settings = [(k, prefix) for prefix in ([False, True] if questions else [False]) for k in config.top_k]
    records = options.open_records(arguments, (config, whole.answers))
    for number, setting in enumerate(settings, start=1):
        if records.missing([setting_name(*setting)]):
            model = speaker.load(arguments)
            sampling = whole.answers.sampling if whole.answers else own_sampling(model)
            sampling = replace(sampling, top_k=setting[0])
            inputs = {key: (texts[key], (questions or {}).get(key)) for key in keys}
            records.add([speak(model, inputs, setting, sampling, arguments.output, config)])
            options.progress("tts settings", number, len(settings), started_s)
    for name in records.found:
        scp = {key: arguments.output / "wav" / name / f"{key}.wav" for key in keys}
        write_table(arguments.output / name / "wav.scp", scp)
    options.finish(arguments, {key: texts[key] for key in keys}, started_s)


def read_set(data: Path) -> tuple[dict[str, str], dict[str, str] | None]:
    """Sentences, and the questions where the sentences are answers."""
    texts = read_table(data / "text", need_value=False)
    if not (data / "answer").is_file():
        return texts, None
    return read_table(data / "answer"), texts


@torch.no_grad()
def speak(model, inputs, setting, sampling: SamplingConfig, output: Path, config: TtsDecodeConfig) -> dict:
    """Speak (text, question or None) by id, one segment each; the record says what it took."""
    name, hz = setting_name(*setting), model.rates.output_hz
    started_s, seconds, empty = time.time(), 0.0, 0
    keys = sorted(inputs, key=lambda key: len(inputs[key][0]))
    for start in range(0, len(keys), config.batch):
        batch = keys[start : start + config.batch]
        dtype = next(model.speech_decoder.parameters()).dtype
        texts = [embed(model, model.spoken_ids(inputs[key][0])).to(dtype) for key in batch]
        hidden = answer_states(model, [inputs[key] for key in batch]) if setting[1] else None
        rows = generate_batch(model.speech_decoder, texts, hidden and [row.to(dtype) for row in hidden], sampling)
        tokens, lengths = pad_rows([row if len(row) else row.new_zeros(1) for row in rows])
        voices = model.voice.expand(len(batch), *model.voice.shape[1:])
        wavs = model.codec.decode(tokens, voices, lengths)
        for key, wav, row in zip(batch, wavs, rows, strict=True):
            size = len(row) * model.codec.hop_samples
            empty, seconds = empty + (size == 0), seconds + size / hz
            write_wav(output / "wav" / name / f"{key}.wav", wav[: max(size, 600)].numpy(), hz)
    took_s = time.time() - started_s
    return {"id": name, "keys": sorted(inputs), "audio_s": seconds, "took_s": took_s, "empty": empty}


def answer_states(model, pairs) -> list[Tensor]:
    """Hidden states (N, E) of the LLM's answering pass over each (answer, question) in writing."""
    chat, rows, sizes = model.llm.chat, [], []
    for answer, question in pairs:
        before = chat.dialogue(model.system_prompt, [(question, None)])
        ids = model.llm.tokenizer(answer, add_special_tokens=False)["input_ids"]
        rows.append(embed(model, before + ids))
        sizes.append((len(before), len(ids)))
    embeds, lengths = pad_rows(rows)
    mask = torch.arange(embeds.shape[1], device=lengths.device)[None] < lengths[:, None]
    hidden, _ = model.llm(embeds, mask)
    # the state that predicts a token belongs to it
    return [row[start - 1 : start - 1 + size] for row, (start, size) in zip(hidden, sizes, strict=True)]
