"""Answers to a suite by a packed model, or by another system; written and checked in the form of its scorer."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.judge import Judge
from freeze_omni.eval.outputs import has_sounds, match, read_sounds, read_texts, text_files
from freeze_omni.eval.question import ask, converse
from freeze_omni.eval.runner import DecodeJob, session_config
from freeze_omni.eval.suites import base, full_duplex_bench
from freeze_omni.eval.suites.base import Answer, Item, Suite

SUITES: dict[str, Suite] = {
    "voicebench": base.VoiceBench(),
    "uro_bench": base.UroBench(),
    "full_duplex_bench": full_duplex_bench,
    "openaudiobench": base.OpenAudioBench(),
    "big_bench_audio": base.BigBenchAudio(),
    "versa": base.Versa(),
}


def run_suite(args: argparse.Namespace) -> list[str]:
    """Write and check the answers; returns lines about them. Raises SuiteError, and errors of sound and models."""
    suite = SUITES[args.suite]
    items = suite.read(args.data, args.output / "work")
    answers, notes = by_outputs(args, suite, items) if args.model is None else (by_model(args, suite, items), [])
    suite.write(args.output, items, answers, args.name)
    if args.suite == "full_duplex_bench" and args.judge is not None:
        full_duplex_bench.transcribe(args.output, items, Judge(args.judge).words)
    suite.check(args.output, items)
    return [*notes, f"{args.output}: {len(items)} answers, in the form of {args.suite}"]


def by_outputs(args: argparse.Namespace, suite: Suite, items: list[Item]) -> tuple[dict[str, Answer], list[str]]:
    """Answers of another system, and notes; a question without one gets an empty text."""
    path, known = args.outputs, [item.id for item in items]
    written = not suite.IN_TIME and (suite.TEXT_ALONE or bool(text_files(path)))
    spoken = not suite.TEXT_ALONE and (not written or path.is_dir() and has_sounds(path))
    names = [[Path(item.sound).stem for item in items], [str(item.fields.get("id")) for item in items]]
    texts = read_texts(path, known, args.fields, names) if written else {}
    sounds = read_sounds(path, known, names) if spoken else {}
    notes = []
    for what, found in [("texts", texts)] * written + [("sounds", sounds)] * spoken:
        notes += [f"{what} of {path}: {note}" for note in match(dict.fromkeys(known), found, path)]
    return {key: Answer(texts.get(key, ""), sounds.get(key, "")) for key in known}, notes


def by_model(args: argparse.Namespace, suite: Suite, items: list[Item]) -> dict[str, Answer]:
    """Answers of a packed model, each question in its own session; a killed run is resumed."""
    job = DecodeJob.of(args, DecodeConfig(), args.output / "work")
    sounds = {item.id: item.sound for item in items}

    def work(todo: list[str]) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        config = session_config(job, model, args.max_new_tokens)
        for key in todo:
            sound, _ = read_audio(sounds[key], model.rates.input_hz)
            said = converse(model, sound, config) if suite.IN_TIME else ask(model, sound, config)
            text, wav = said.text, said.wav if suite.IN_TIME else said.audio
            path = job.output / "wav" / f"{key.replace('/', '_')}.wav"
            if len(wav):
                write_wav(path, wav, model.rates.output_hz)
            yield [{"id": key, "text": " ".join(text.split()), "sound": str(path) if len(wav) else ""}]

    made_from = ("in time" if suite.IN_TIME else "asked", args.max_new_tokens)
    records = job.run(args.suite, sounds, made_from, work)
    return {key: Answer(record["text"], record["sound"]) for key, record in records.items()}
