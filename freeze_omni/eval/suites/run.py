"""Answers to a suite by a packed model, a server or another system; written and checked in the form of its scorer."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.config import ConfigError
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.judge import Judge
from freeze_omni.eval.outputs import has_sounds, match, read_sounds, read_texts, text_files
from freeze_omni.eval.question import ask, ask_rounds, converse
from freeze_omni.eval.runner import DecodeJob, Units, session_config
from freeze_omni.eval.suites import base, full_duplex_bench, server
from freeze_omni.eval.suites.base import Answer, Item, Suite
from freeze_omni.eval.suites.sessions import answered

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
    if not args.all:
        return _run_subset(args, suite, args.data, args.output, args.outputs)
    lines = []
    for name, data in suite.subsets(args.data).items():
        lines += _run_subset(args, suite, data, args.output / name, args.outputs and args.outputs / name)
    return lines


def _run_subset(
    args: argparse.Namespace, suite: Suite, data: Path, output: Path, outputs: Path | None = None
) -> list[str]:
    notes: list[str] = []
    items = suite.read(data, output / "work")
    if outputs is not None:
        answers, notes = by_outputs(outputs, args.fields, suite, items)
    elif args.server:
        answers = server.by_server(args, suite, items, output / "work")
    else:
        answers = by_model(DecodeJob.of(args, DecodeConfig(), output / "work", data), args, suite, items)
    suite.write(output, items, answers, args.name)
    if args.suite == "full_duplex_bench" and args.judge is not None:
        full_duplex_bench.transcribe(output, items, Judge(args.judge).words)
    suite.check(output, items)
    return [*notes, f"{output}: {len(items)} answers, in the form of {args.suite}"]


def by_outputs(path: Path, fields: Any, suite: Suite, items: list[Item]) -> tuple[dict[str, Answer], list[str]]:
    """Answers of another system, and notes; a question without one gets an empty text. Raises ConfigError."""
    if any(item.dialogue for item in items):
        raise ConfigError("--outputs: of questions of one round; dialogues are answered by --model or --server")
    known = [item.id for item in items]
    written = not suite.IN_TIME and (suite.TEXT_ALONE or bool(text_files(path)))
    spoken = not suite.TEXT_ALONE and (not written or path.is_dir() and has_sounds(path))
    names = [[Path(item.sound).stem for item in items], [str(item.fields.get("id")) for item in items]]
    texts = read_texts(path, known, fields, names) if written else {}
    sounds = read_sounds(path, known, names) if spoken else {}
    notes = []
    for what, found in [("texts", texts)] * written + [("sounds", sounds)] * spoken:
        notes += [f"{what} of {path}: {note}" for note in match(dict.fromkeys(known), found, path)]
    return {key: Answer(texts.get(key, ""), sounds.get(key, "")) for key in known}, notes


def by_model(job: DecodeJob, args: argparse.Namespace, suite: Suite, items: list[Item]) -> dict[str, Answer]:
    """Answers of a packed model, each question or dialogue in its own session; a killed run is resumed."""

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        config = session_config(job, model, args.max_new_tokens)

        def answer(sounds: Sequence[np.ndarray]) -> list[tuple[str, np.ndarray]]:
            if suite.IN_TIME:
                said = converse(model, sounds[0], config)
                return [(said.text, said.wav)]
            asked = [ask(model, sounds[0], config)] if len(sounds) == 1 else ask_rounds(model, sounds, config)
            return [(one.text, one.audio) for one in asked]

        return answered(
            items, {id_ for (id_,) in todo}, job.output, model.rates.input_hz, model.rates.output_hz, answer
        )

    made_from = ("in time" if suite.IN_TIME else "asked", args.max_new_tokens)
    records = job.run(args.suite, [(item.id,) for item in items], made_from, work)
    return {key: Answer(record["text"], record["sound"]) for key, record in records.items()}
