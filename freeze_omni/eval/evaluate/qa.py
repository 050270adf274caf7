"""Answers to spoken questions, and the text-only score of the same LLM beside it."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from freeze_omni.config import ConfigError
from freeze_omni.data.questions import read_published
from freeze_omni.eval import paper
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.outputs import match, read_texts
from freeze_omni.eval.qa import accuracy
from freeze_omni.eval.tables import number, share

References = Mapping[str, Sequence[str]]
SPOKEN, WRITTEN = "spoken", "its LLM on text"


def evaluate(args: argparse.Namespace) -> Report:
    """Rows: spoken and text-only accuracy; of the model, of its own end of turn and of each round too."""
    name = args.set or _name(args.data)
    notes: list[str] = []
    if args.model is not None:
        references, found = ask(args, args.output / "qa")
    else:
        references = _answered({question.id: question.answers for question in read_published(args.data)}, args.data)
        found = {SPOKEN: read_texts(args.outputs)}
        notes += match(references, found[SPOKEN], args.outputs)
        if args.text_outputs is not None:
            found[WRITTEN] = read_texts(args.text_outputs)
            notes += match(references, found[WRITTEN], args.text_outputs)
        found = {way: {key: texts.get(key, "") for key in references} for way, texts in found.items()}
    figures = {
        way: accuracy(texts, {key: references[key] for key in texts}, args.normaliser) for way, texts in found.items()
    }
    theirs = paper.QA.get(paper.same_set(name), (None, None))
    told = {SPOKEN: number(theirs[0]), WRITTEN: number(theirs[1])}
    rows = [
        [way, share(one, "accuracy"), f"{_mean_words(found[way]):.1f}", told.get(way, "-")]
        for way, one in figures.items()
    ]
    spoken, text = figures[SPOKEN]["accuracy"], figures.get(WRITTEN, {}).get("accuracy")
    if text:
        notes.append(f"spoken over text: {spoken / text:.3f}")
    notes.append(
        "right: a reference answer occurs in the answer as whole words, both normalised; 95 % bootstrap interval"
    )
    if args.model is not None:
        notes.append(f"answers are cut after {args.max_new_tokens} tokens (--max_new_tokens)")
    title = f"Spoken question answering, {name}, {len(references)} questions, normaliser {args.normaliser}"
    head = ["", "accuracy %, questions", "words an answer", "paper"]
    return Report(title, head, rows, {"set": name, "normaliser": args.normaliser, "qa": figures}, notes)


def ask(args: argparse.Namespace, folder: Path) -> tuple[References, dict[str, dict[str, str]]]:
    """All questions of a data directory (wav.scp, text, questions.jsonl, history) to the packed model.

    Returns their reference answers, and what was answered, by way and then by question. Raises ConfigError.
    """
    from freeze_omni.eval.decode import qa, sets
    from freeze_omni.eval.records import read_records

    if not (args.data / "wav.scp").is_file():
        raise ConfigError(
            f"{args.data}: no wav.scp; a model hears its questions: speak them (freeze_omni.bin.tts_synthesize)"
        )
    references = _answered(sets.question_answers(args.data), args.data)
    qa.decode(argparse.Namespace(**vars(args) | {"output": folder}))
    records = {key: one for key, one in read_records(folder / "records.jsonl").items() if key in references}
    fields = {SPOKEN: "answer", "spoken, ended by its own state 1": "answer_own", WRITTEN: "answer_text"}
    found = {way: {key: record[field] for key, record in records.items()} for way, field in fields.items()}
    rounds = sorted({record["round"] for record in records.values()})
    for round_, way in itertools.product(rounds if len(rounds) > 1 else (), (SPOKEN, WRITTEN)):
        of_round = {key: text for key, text in found[way].items() if records[key]["round"] == round_}
        found[f"{way}, round {round_}"] = of_round
    return references, found


def _answered(references: References, source: Path) -> References:
    """Those that have a reference answer; raises ConfigError where none has."""
    known = {key: answers for key, answers in references.items() if answers}
    if not known:
        raise ConfigError(f"{source}: no question with a reference answer in it")
    return known


def _name(path: Path) -> str:
    return path.parent.name if path.name == "questions.jsonl" else path.stem


def _mean_words(texts: dict[str, str]) -> float:
    return sum(len(text.split()) for text in texts.values()) / len(texts)
