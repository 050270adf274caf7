"""Transcripts against a test set's `text`: WER, or CER where the normaliser puts every sign by itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from freeze_omni.data.tables import read_table
from freeze_omni.eval import paper
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.outputs import match, read_texts
from freeze_omni.eval.tables import number, rate
from freeze_omni.eval.wer import error_rate


def evaluate(args: argparse.Namespace) -> Report:
    """Rows: each way in which the model was decoded, or the one transcript of the outputs."""
    references = read_table(args.data / "text")
    name = args.set or args.data.name
    notes: list[str] = []
    if args.model is not None:
        found = decode(args, args.output / f"asr_{name}")
    else:
        found = {"given": read_texts(args.outputs)}
        notes = match(references, found["given"], args.outputs)
    figures = {}
    for way, texts in found.items():
        heard = {key: texts.get(key, "") for key in references}
        figures[way] = error_rate(references, heard, args.normaliser).as_dict()
    theirs = paper.ASR.get(paper.same_set(name))
    told = " | ".join(number(value) for value in theirs) if theirs else "-"
    rows = [
        [way, rate(one), str(one["words"]), f"{one['substitutions']} {one['deletions']} {one['insertions']}", told]
        for way, one in figures.items()
    ]
    if theirs:
        notes.append(f"the paper's figures: {', '.join(paper.ASR_NAMES)}")
    notes.append("in brackets: 95 % bootstrap interval over utterances")
    head = ["", "errors in %", "reference words", "sub del ins", "paper"]
    title = f"Speech input, {name}, {len(references)} utterances, normaliser {args.normaliser}"
    return Report(title, head, rows, {"set": name, "normaliser": args.normaliser, "asr": figures}, notes)


def decode(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, str]]:
    """Every utterance by the packed model, or by the encoder of stage 1.1 alone."""
    from freeze_omni.eval.decode import asr, encoder

    own = argparse.Namespace(**vars(args) | {"output": folder})
    (encoder if args.model.suffix == ".pth" else asr).decode(own)
    texts = {path.name.removeprefix("text."): path for path in sorted(folder.glob("text.*"))}
    return {way: read_table(path, need_value=False) for way, path in texts.items()}
