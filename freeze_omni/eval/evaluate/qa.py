"""Answers to spoken questions, and the text-only score of the same LLM beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from freeze_omni.config import ConfigError
from freeze_omni.data.questions.published import read_published
from freeze_omni.eval import paper
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.outputs import match, read_texts
from freeze_omni.eval.qa import accuracy
from freeze_omni.eval.tables import number, share


def evaluate(args: argparse.Namespace) -> Report:
    """Rows: spoken and text-only accuracy; of the model, of its own end of turn too."""
    questions = read_published(args.data)
    references = {question.id: question.answers for question in questions if question.answers}
    if not references:
        raise ConfigError(f"{args.data}: no question with a reference answer in it")
    name = args.set or _name(args.data)
    notes: list[str] = []
    if args.model is not None:
        found = decode(args, args.output / "qa")
        references = {key: answers for key, answers in references.items() if key in found["spoken"]}
    else:
        found = {"spoken": read_texts(args.outputs)}
        notes += match(references, found["spoken"], args.outputs)
        if args.text_outputs is not None:
            found["its LLM on text"] = read_texts(args.text_outputs)
            notes += match(references, found["its LLM on text"], args.text_outputs)
    figures = {
        way: accuracy({key: texts.get(key, "") for key in references}, references, args.normaliser)
        for way, texts in found.items()
    }
    theirs = paper.QA.get(paper.same_set(name), (None, None))
    told = {"spoken": number(theirs[0]), "its LLM on text": number(theirs[1])}
    rows = [
        [way, share(one, "accuracy"), f"{_mean_words(found[way], references):.1f}", told.get(way, "-")]
        for way, one in figures.items()
    ]
    spoken, text = figures["spoken"]["accuracy"], figures.get("its LLM on text", {}).get("accuracy")
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


def decode(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, str]]:
    """All questions of a data directory (wav.scp, text, questions.jsonl) by the packed model."""
    from freeze_omni.eval.decode import qa
    from freeze_omni.eval.records import read_records

    if not (args.data / "wav.scp").is_file():
        raise ConfigError(
            f"{args.data}: no wav.scp; a model hears its questions: speak them (freeze_omni.bin.tts_synthesize)"
        )
    qa.decode(argparse.Namespace(**vars(args) | {"output": folder}))
    records = read_records(folder / "records.jsonl")
    fields = {"spoken": "answer", "spoken, ended by its own state 1": "answer_own", "its LLM on text": "answer_text"}
    return {way: {key: record[field] for key, record in records.items()} for way, field in fields.items()}


def _name(path: Path) -> str:
    return path.parent.name if path.name == "questions.jsonl" else path.stem


def _mean_words(texts: dict[str, str], keys: dict[str, object]) -> float:
    said = [texts.get(key, "") for key in keys]
    return sum(len(text.split()) for text in said) / len(said)
