"""Transcripts by what there is before a whole model: the encoder of stage 1.1 with its CTC head, or, with the LLM,
encoder and adapter of stage 1.2. Read from a checkpoint (.pth) beside its config.yaml, and the CTC units.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.eval.config import AsrDecodeConfig
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.decode.asr import by_llm, chunk_name
from freeze_omni.eval.records import Records
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.llm.frozen import FrozenLLM, LlmError
from freeze_omni.llm.tuned import PART, LlmTuningConfig, build_tuning, tuned
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


class Listener(Recogniser):
    """Sound to text by the LLM too, behind the task tokens and through the adapter of stage 1.2."""

    def __init__(
        self,
        fbank: FbankConfig,
        encoder: EncoderConfig,
        units: CtcUnits,
        adapter: AdapterChoice,
        task_tokens: int,
        llm: FrozenLLM,
        tuning: LlmTuningConfig | None = None,
    ) -> None:
        super().__init__(fbank, encoder, units)
        embeds = units.embeddings(llm) if adapter.needs_unit_embeds else None
        self.adapter = build_adapter(adapter, self.encoder.output_size, llm.hidden_size, embeds)
        self.task_tokens = nn.Embedding(task_tokens, llm.hidden_size)
        if tuning is not None:
            self.llm_tuning = build_tuning(tuning, llm)
        self.llm = tuned(llm, getattr(self, PART, None))


def read_recogniser(path: Path, units_folder: Path, llm_folder: Path | None = None) -> Recogniser:
    """A Recogniser, with an LLM a Listener. Raises ConfigError: a missing file, or a checkpoint that is not of
    stage 1.1 (of stage 1.2, with an LLM) with these units.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such checkpoint; train it first (stage {6 if llm_folder else 5})")
    where = path.parent / "config.yaml"
    model: dict[str, Any] = read_yaml(where).get("model") or {}
    fbank = build(FbankConfig, model.get("fbank"), f"{where}: model: fbank")
    encoder = build(EncoderConfig, model.get("encoder"), f"{where}: model: encoder")
    units, parts = CtcUnits.load(units_folder), ["encoder.", "ctc."]
    if llm_folder is None:
        recogniser = Recogniser(fbank, encoder, units)
    else:
        adapter = build(AdapterChoice, model.get("adapter"), f"{where}: model: adapter")
        tuning = model.get(PART) and build(LlmTuningConfig, model[PART], f"{where}: model: {PART}")
        tokens, llm = model.get("task_tokens", 0), read_llm(llm_folder)
        recogniser = Listener(fbank, encoder, units, adapter, tokens, llm, tuning)
        parts += ["adapter.", "task_tokens.", f"{PART}."]
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("model", content)
    try:
        recogniser.load_state_dict({key: value for key, value in content.items() if key.startswith(tuple(parts))})
    except RuntimeError as error:
        raise ConfigError(f"{path}: does not fit {where} and {units_folder}: {error}") from None
    return recogniser.eval()


def read_llm(folder: str | Path) -> FrozenLLM:
    """Raises ConfigError where it cannot be used."""
    try:
        return FrozenLLM.load(folder)
    except LlmError as error:
        raise ConfigError(str(error)) from None


@torch.no_grad()
def transcripts(recogniser: Recogniser, sounds, config: AsrDecodeConfig) -> list[dict[str, str]]:
    """For each sound the text of every way to decode it, by name."""
    texts = {chunk_name(size): recogniser.transcribe(sounds, size) for size in config.chunk_sizes}
    if config.llm:
        texts["llm"] = [" ".join(text.split()) for text in by_llm(recogniser, sounds, config.llm_max_tokens)]
    return [{name: found[row] for name, found in texts.items()} for row in range(len(sounds))]


def decode(arguments: argparse.Namespace) -> None:
    """As the decoder of a packed model: records.jsonl, `text.<chunk>` for each chunk size, and `text`.

    model: the checkpoint; units: the folder of the CTC units; llm: the LLM, for a checkpoint of stage 1.2.
    """
    started_s, config = time.time(), options.read_config(arguments.config).asr
    config = replace(config, llm=arguments.llm is not None)
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
        recogniser = read_recogniser(arguments.model, arguments.units, arguments.llm)
        for group in (todo[start : start + 1000] for start in range(0, len(todo), 1000)):
            sounds = sets.read_sound(table, group, recogniser.fbank.config.sample_hz)
            for batch in sets.batches(group, {key: len(sound) for key, sound in sounds.items()}, config.batch):
                rows = transcripts(recogniser, [sounds[key] for key in batch], config)
                records.add({"id": key, "texts": row} for key, row in zip(batch, rows, strict=True))
                options.progress("asr", len(records.found), len(keys), started_s)
    names = [chunk_name(size) for size in config.chunk_sizes] + ["llm"] * config.llm
    for name in names:
        write_table(arguments.output / f"text.{name}", {key: records.found[key]["texts"][name] for key in keys})
    options.finish(arguments, {key: records.found[key]["texts"][names[0]] for key in keys}, started_s)
