"""Seconds from the end of a question to the first sound of the answer: of a model's session, or of another system."""

from __future__ import annotations

import argparse

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.eval import paper
from freeze_omni.eval.decode.sets import read_jsonl
from freeze_omni.eval.evaluate.duplex import beginnings
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.latency import ROWS, score_latency
from freeze_omni.eval.outputs import match, read_sounds
from freeze_omni.eval.percentiles import summarise
from freeze_omni.eval.records import read_records
from freeze_omni.eval.tables import summary


def evaluate(args: argparse.Namespace) -> Report:
    """Outputs: `first_audio` (lines `<id> <seconds behind the question>`), or sounds in time with the input."""
    head = ["ms: average / 50 % / 90 %", ""]
    told = " / ".join(str(value) for value in paper.LATENCY_MS)
    notes = [f"the paper, interrupted to first PCM: {told}, without 160-320 ms of waiting for a chunk and the network"]
    if args.model is not None:
        from freeze_omni.eval.decode import latency

        folder = args.output / "latency"
        latency.decode(argparse.Namespace(**vars(args) | {"output": folder}))
        figures = score_latency(read_records(folder / "records.jsonl").values())
        rows = [[name.replace("_", " "), summary(figures["rows_ms"][name])] for name in ROWS]
        first = {key: value and 1000 * value for key, value in figures["first_audio_s"].items() if key != "count"}
        rows.append(["end of question to first audio", summary(first)])
    else:
        waits = read_waits(args)
        notes += match(read_jsonl(args.data / "scene"), waits, args.outputs)
        answered = [wait for wait in waits.values() if wait is not None]
        figures = {"first_audio_s": summarise(answered), "questions": len(waits), "answered": len(answered)}
        rows = [["end of question to first audio", summary(summarise((1000 * wait for wait in answered), 1))]]
        notes.append(f"{len(answered)} of {len(waits)} questions were answered")
    return Report(f"Latency, {args.set or args.data.name}", head, rows, {"latency": figures}, notes)


def read_waits(args: argparse.Namespace) -> dict[str, float | None]:
    """Seconds behind the end of each question, None where no sound came. Raises TableError."""
    path = args.outputs / "first_audio"
    if path.is_file():
        waits: dict[str, float | None] = {}
        for number, (key, value) in enumerate(read_table(path, need_value=False).items(), start=1):
            try:
                waits[key] = float(value) if value else None
            except ValueError:
                raise TableError(f"{path}:{number}: expected `<id> <seconds>`") from None
        return waits
    ends = {
        key: max(segment["end_s"] for segment in scene["segments"])
        for key, scene in read_jsonl(args.data / "scene").items()
    }
    waits = {}
    for key, sound in read_sounds(args.outputs).items():
        if key in ends:
            later = [start_s for start_s in beginnings(*read_audio(sound)) if start_s >= ends[key]]
            waits[key] = later[0] - ends[key] if later else None
    return waits
