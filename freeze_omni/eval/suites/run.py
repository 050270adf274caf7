"""Let a packed model answer a suite, or take another system's answers; write and check what its scorer reads."""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.tables import TableError
from freeze_omni.eval.decode import options
from freeze_omni.eval.outputs import read_sounds, read_texts
from freeze_omni.eval.suites.base import Answer, Item, Suite, SuiteError

SUITES = ("voicebench", "uro_bench", "full_duplex_bench", "openaudiobench", "big_bench_audio", "versa")


def load_suite(name: str) -> Suite:
    return importlib.import_module(f"freeze_omni.eval.suites.{name}")


def run_suite(args: argparse.Namespace) -> str:
    """Everything; returns what was written, in a line. Raises SuiteError, and what reading sound and models raises."""
    suite = load_suite(args.suite)
    items = suite.read(args.data, args.output / "work")
    if args.model is not None:
        answers = by_model(args, suite, items)
    else:
        answers = by_outputs(args, suite, items)
    suite.write(args.output, items, answers, args.name)
    if args.suite == "full_duplex_bench" and args.judge is not None:
        from freeze_omni.eval.judge import Judge

        suite.transcribe(args.output, items, Judge(args.judge).words)
    suite.check(args.output, items)
    return f"{args.output}: {len(items)} answers, in the form of {args.suite}"


def by_outputs(args: argparse.Namespace, suite: Suite, items: list[Item]) -> dict[str, Answer]:
    """Answers of another system by the items' ids; a question without one gets an empty text."""
    try:
        texts = read_texts(args.outputs)
    except TableError:
        if not suite.IN_TIME:
            raise
        texts = {}
    try:
        sounds = read_sounds(args.outputs)
    except TableError:
        sounds = {}
    known = [item.id for item in items if item.id in texts or item.id in sounds]
    if not known:
        raise SuiteError(f"{args.outputs}: no answer to {items[0].id} nor to any other question")
    return {item.id: Answer(texts.get(item.id, ""), sounds.get(item.id, "")) for item in items}


def by_model(args: argparse.Namespace, suite: Suite, items: list[Item]) -> dict[str, Answer]:
    """Answers of a packed model, each question in a session of its own; a killed run goes on."""
    args = argparse.Namespace(**vars(args) | {"output": args.output / "work"})
    records = options.open_records(args, ("in time" if suite.IN_TIME else "asked", args.max_new_tokens))
    todo, started_s = set(records.missing([item.id for item in items])), time.time()
    if todo:
        model = options.load_model(args.model, args.threads, args.seed)
        for item in items:
            if item.id in todo:
                sound, _ = read_audio(item.sound, model.rates.input_hz)
                text, wav = answer(model, sound, suite.IN_TIME, args)
                path = args.output / "wav" / f"{item.id.replace('/', '_')}.wav"
                if len(wav):
                    write_wav(path, wav, model.rates.output_hz)
                records.add([{"id": item.id, "text": text, "sound": str(path) if len(wav) else ""}])
                options.progress(args.suite, len(records.found), len(items), started_s)
    return {item.id: Answer(records.found[item.id]["text"], records.found[item.id]["sound"]) for item in items}


def answer(model: Any, sound: Any, in_time: bool, args: argparse.Namespace) -> tuple[str, Any]:
    """Text and sound (S,) of the model's answer."""
    from dataclasses import replace

    from freeze_omni.eval.question import ask
    from freeze_omni.eval.suites.in_time import converse
    from freeze_omni.session.answer import own_answers
    from freeze_omni.session.session import SessionConfig

    answers = own_answers(model)
    answers = replace(answers, generation=replace(answers.generation, max_new_tokens=args.max_new_tokens))
    config = SessionConfig(answers=answers, seed=args.seed)
    if in_time:
        line = converse(model, sound, config)
        return " ".join(line.text.split()), line.wav
    asked = ask(model, sound, config)
    return " ".join(asked.text.split()), asked.audio
