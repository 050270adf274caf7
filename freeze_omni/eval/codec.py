"""Originals and the codec's copies of them, each with its own voice."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval.decode import options, sets, speaker

COPY, ORIGINAL = "copy", "original"


def decode(arguments: argparse.Namespace) -> None:
    """Write wav/copy, wav/original and <name>/wav.scp beside `text`, which both are scored against.

    The data directory is plain (wav.scp at any rate, text) or a dialogue set (answer_wav.scp, answer).
    """
    started_s, config = time.time(), options.read_config(arguments.config).codec
    dialogue = (arguments.data / "answer_wav.scp").is_file()
    originals = read_table(arguments.data / ("answer_wav.scp" if dialogue else "wav.scp"))
    texts = read_table(arguments.data / ("answer" if dialogue else "text"), need_value=False)
    keys = sets.first_keys({key: texts[key] for key in originals if texts.get(key)}, config.utterances)
    records = options.open_records(arguments, config)
    if records.missing([COPY, ORIGINAL]):
        model = speaker.load(arguments)
        records.add(copy(model, originals, keys, arguments.output, config.batch))
        options.progress("codec copies", len(keys), len(keys), started_s)
    for name in (COPY, ORIGINAL):
        scp = {key: arguments.output / "wav" / name / f"{key}.wav" for key in keys}
        write_table(arguments.output / name / "wav.scp", scp)
    options.finish(arguments, {key: texts[key] for key in keys}, started_s)


def originals(data: Path) -> Path | None:
    """The set itself, where it has recordings of its sentences: a plain one, or a dialogue set's answers."""
    return data if (data / "answer_wav.scp").exists() or not (data / "answer").exists() else None


@torch.no_grad()
def copy(model, originals, keys, output: Path, batch_size: int) -> list[dict]:
    """Originals, and the codec's copies with each one's own voice."""
    hz, wavs = model.rates.output_hz, output / "wav"
    sounds = sets.read_sound(originals, keys, hz)
    for batch in sets.batches(keys, {key: len(sounds[key]) for key in keys}, batch_size):
        wav, lengths = sets.stack([sounds[key] for key in batch])
        tokens, token_lengths, voice = model.codec.encode(wav, lengths)
        copies = model.codec.decode(tokens, voice, token_lengths)
        for key, copied, size in zip(batch, copies, lengths.tolist(), strict=True):
            write_wav(wavs / COPY / f"{key}.wav", copied[:size].numpy(), hz)
            write_wav(wavs / ORIGINAL / f"{key}.wav", sounds[key], hz)
    seconds = sum(len(sound) for sound in sounds.values()) / hz
    return [{"id": name, "keys": list(keys), "audio_s": seconds} for name in (COPY, ORIGINAL)]
