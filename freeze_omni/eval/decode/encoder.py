"""Transcripts by the encoder of stage 1.1 alone: a checkpoint (.pth) beside its config.yaml, and the CTC units."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import nn

from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.decode.asr import chunk_name
from freeze_omni.eval.records import Records
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.llm.units import CtcUnits


class Recogniser(nn.Module):
    """Sound to text by the CTC head's greedy path."""

    def __init__(self, fbank: FbankConfig, encoder: EncoderConfig, units: CtcUnits) -> None:
        super().__init__()
        self.fbank, self.encoder, self.units = Fbank(fbank), SpeechEncoder(encoder), units
        self.ctc = CtcHead(self.encoder.output_size, len(units))

    @torch.no_grad()
    def transcribe(self, sounds, chunk_size: int) -> list[str]:
        """Samples (S_i,) at 16 kHz; chunk_size: encoder frames, 0 infinite."""
        feats, lengths = self.fbank(*sets.stack(sounds))
        frames, lengths = self.encoder(feats, lengths, chunk_size=chunk_size)
        return [" ".join(self.units.decode(ids).split()) for ids in self.ctc.greedy(self.ctc(frames), lengths)]


def read_recogniser(path: Path, units_folder: Path) -> Recogniser:
    """Raises ConfigError: a missing file, or a checkpoint that is not of stage 1.1 with these units."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such checkpoint; train the encoder first (stage 5)")
    where = path.parent / "config.yaml"
    model = read_yaml(where).get("model") or {}
    fbank = build(FbankConfig, model.get("fbank"), f"{where}: model: fbank")
    encoder = build(EncoderConfig, model.get("encoder"), f"{where}: model: encoder")
    recogniser = Recogniser(fbank, encoder, CtcUnits.load(units_folder))
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("model", content)
    parts = ("encoder.", "ctc.")
    try:
        recogniser.load_state_dict({key: value for key, value in content.items() if key.startswith(parts)})
    except RuntimeError as error:
        raise ConfigError(f"{path}: does not fit {where} and {units_folder}: {error}") from None
    return recogniser.eval()


def decode(arguments: argparse.Namespace) -> None:
    """As the decoder of a packed model: records.jsonl, `text.<chunk>` for each chunk size, and `text`.

    model: the checkpoint; units: the folder of the CTC units.
    """
    started_s, config = time.time(), options.read_config(arguments.config).asr
    if arguments.units is None:
        raise ConfigError(f"{arguments.model}: an encoder needs its units: give --units, as data/token_list")
    table = read_table(arguments.data / "wav.scp")
    keys = sets.first_keys(table, config.utterances)
    stat = arguments.model.stat() if arguments.model.is_file() else None
    made_from = {
        "model": stat and [arguments.model.name, stat.st_size, stat.st_mtime_ns],
        "data": str(arguments.data),
        "config": repr(config),
    }
    records = Records(arguments.output, made_from)
    todo = records.missing(keys)
    if todo:
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        recogniser = read_recogniser(arguments.model, arguments.units)
        for group in (todo[start : start + 1000] for start in range(0, len(todo), 1000)):
            sounds = sets.read_sound(table, group, recogniser.fbank.config.sample_hz)
            for batch in sets.batches(group, {key: len(sound) for key, sound in sounds.items()}, config.batch):
                some = [sounds[key] for key in batch]
                texts = {chunk_name(size): recogniser.transcribe(some, size) for size in config.chunk_sizes}
                rows = ({name: found[row] for name, found in texts.items()} for row in range(len(batch)))
                records.add({"id": key, "texts": row} for key, row in zip(batch, rows, strict=True))
                options.progress("asr", len(records.found), len(keys), started_s)
    for name in map(chunk_name, config.chunk_sizes):
        write_table(arguments.output / f"text.{name}", {key: records.found[key]["texts"][name] for key in keys})
    first = chunk_name(config.chunk_sizes[0])
    options.finish(arguments, {key: records.found[key]["texts"][first] for key in keys}, started_s)
