"""The codec: originals and their copies, each with its own voice. eval/tts.py scores them with the other speech."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import read_table
from freeze_omni.eval.runner import DecodeJob, Units
from freeze_omni.eval.sets import first_keys, length_batches, sound_batches, stack

COPY, ORIGINAL = "copy", "original"


def originals(data: Path) -> Path | None:
    """The set itself if it has recordings of its sentences: a plain set, or a dialogue set with spoken answers."""
    return data if (data / "answer_wav.scp").exists() or not (data / "answer").exists() else None


@torch.no_grad()
def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write wav/copy, wav/original, a wav.scp of each, and `text`, of a plain set or of a dialogue set's answers."""
    config, dialogue = job.config.codec, (job.data / "answer_wav.scp").is_file()
    table = read_table(job.data / ("answer_wav.scp" if dialogue else "wav.scp"))
    texts = read_table(job.data / ("answer" if dialogue else "text"), need_value=False)
    keys = first_keys({key: texts[key] for key in table if texts.get(key)}, config.utterances)

    def work(_: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load("codec") if job.codec is None else job.load("speech_decoder")
        hz, samples = model.rates.output_hz, 0
        for batch, sounds in sound_batches(table, length_batches(table, keys, config.batch), hz):
            wav, lengths = stack(sounds)
            tokens, token_lengths, voice = model.codec.encode(wav.to(job.device), lengths.to(job.device))
            copies = model.codec.decode(tokens, voice, token_lengths).cpu()
            samples += int(lengths.sum())
            for key, original, copied in zip(batch, sounds, copies, strict=True):
                write_wav(job.output / "wav" / COPY / f"{key}.wav", copied[: len(original)].numpy(), hz)
                write_wav(job.output / "wav" / ORIGINAL / f"{key}.wav", original, hz)
        yield [{"id": name, "keys": keys, "audio_s": samples / hz} for name in (COPY, ORIGINAL)]

    records = job.run("codec copies", [(COPY, ORIGINAL)], config, work)
    job.finish({key: texts[key] for key in keys}, records)
    return records
