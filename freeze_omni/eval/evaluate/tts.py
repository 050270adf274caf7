"""Speech against its texts: WER and CER of what an independent recogniser hears."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval import paper
from freeze_omni.eval.decode.options import read_config
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.judge import Judge
from freeze_omni.eval.outputs import match, read_sounds
from freeze_omni.eval.records import read_records
from freeze_omni.eval.speech import judged_texts
from freeze_omni.eval.tables import MISSING, number, rate
from freeze_omni.eval.wer import error_rate


def evaluate(args: argparse.Namespace) -> Report:
    """Rows: every setting of the model (top-k, prefix), the codec's copies of recordings, and these; or the one set of
    sounds that was given, which needs --judge.
    """
    if args.judge is None and args.model is None:
        raise ConfigError("speech is scored by a recogniser: give --judge, a folder of a CTranslate2 Whisper model")
    references = read_table(args.data / ("answer" if (args.data / "answer").is_file() else "text"))
    notes: list[str] = []
    made: dict[str, Mapping[str, Any]] = {}
    if args.model is not None:
        folders, made = decode(args)
    else:
        sounds = read_sounds(args.outputs)
        notes = match(references, sounds, args.outputs)
        folders = {"given": args.output / "tts_given"}
        write_table(folders["given"] / "wav.scp", {key: sounds[key] for key in references if key in sounds})
    figures: dict[str, dict[str, Any]] = {name: _made(made.get(name, {})) for name in folders}
    if args.judge is not None:
        for name, one in heard_rates(args, folders, references).items():
            figures[name] |= one
        best = paper.TTS["prefix, pre-network"]
        notes.append(f"the paper, Mandarin by paraformer-zh: CER {min(best)} at its best top-k; another judge")
        notes.append(f"judge: {args.judge.name}; in brackets: 95 % bootstrap interval over utterances")
    else:
        notes.append("no --judge was given: whether the words can be understood was not measured")
    head = ["", "errors in %", "CER %", "utterances", "speech s", "computing s : speech s", "without speech"]
    title = f"Speech output, {args.set or args.data.name}, normaliser {args.normaliser}"
    return Report(title, head, [_row(name, one) for name, one in figures.items()], {"tts": figures}, notes)


def decode(args: argparse.Namespace) -> tuple[dict[str, Path], dict[str, Mapping[str, Any]]]:
    """Folders of speech by name, and what their making took: text spoken (not by a codec alone), recordings copied."""
    from freeze_omni.eval.decode import codec, tts

    jobs = [] if args.model.suffix == ".pth" and args.codec is None else [(tts.decode, args.data, "tts")]
    if (recorded := codec.originals(args.data)) is not None:
        jobs.append((codec.decode, recorded, "codec"))
    folders: dict[str, Path] = {}
    made: dict[str, Mapping[str, Any]] = {}
    for decoder, data, name in jobs:
        folder = args.output / f"{name}_{args.set or args.data.name}"
        decoder(argparse.Namespace(**vars(args) | {"data": data, "output": folder}))
        records = read_records(folder / "records.jsonl")
        folders |= {setting: folder / setting for setting in records}
        made |= records
    return folders, made


def heard_rates(
    args: argparse.Namespace, folders: Mapping[str, Path], references: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Error rates of each folder by what the judge hears."""
    config = replace(read_config(args.config).score.judge, language=args.language)
    judge = lru_cache(maxsize=1)(lambda: Judge(args.judge, config))
    figures = {}
    for name, folder in folders.items():
        heard = judged_texts(folder, config, args.judge, judge)
        said = {key: heard.get(key, "") for key in references if args.model is None or key in heard}
        texts = {key: references[key] for key in said}
        figures[name] = error_rate(texts, said, args.normaliser).as_dict()
        figures[name]["character_percent"] = error_rate(texts, said, "characters").as_dict()["percent"]
    return figures


def _made(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a decoder's record: utterances, seconds of speech, how fast it came, how many have none."""
    if not record:
        return {}
    figures = {"utterances": len(record["keys"]), "speech_s": record["audio_s"]}
    if "took_s" in record:
        figures["real_time_factor"] = record["took_s"] / record["audio_s"] if record["audio_s"] else None
        figures["empty"] = record["empty"]
    return figures


def _row(name: str, one: Mapping[str, Any]) -> list[str]:
    told = rate(one) if "percent" in one else MISSING
    counts = [str(one.get("utterances", MISSING)), number(one.get("speech_s"), 1)]
    speed = [number(one.get("real_time_factor"), 3), str(one.get("empty", MISSING))]
    return [name, told, number(one.get("character_percent")), *counts, *speed]
