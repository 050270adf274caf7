"""Turn taking on scenes with a known time line: by a model's state head, or by when another system began to speak."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.eval.decode.options import read_config
from freeze_omni.eval.decode.sets import read_jsonl, read_states
from freeze_omni.eval.duplex.evaluate import evaluate as evaluate_scenes
from freeze_omni.eval.duplex.segments import speech_segments
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.outputs import match, read_sounds
from freeze_omni.eval.records import read_records
from freeze_omni.eval.score import read_scene
from freeze_omni.eval.states import Scene, score_scenes
from freeze_omni.eval.tables import share, summary


def evaluate(args: argparse.Namespace) -> Report:
    """One row. Outputs: `takes` (lines `<id> <second> ...`), or sounds that run in time with the input.

    With --scenes a row for each kind of scene.
    """
    if args.scenes is not None:
        return evaluate_scenes(args)
    rule = read_config(args.config).score.takes
    scenes, labels = read_jsonl(args.data / "scene"), read_states(args.data / "states")
    notes: list[str] = []
    if args.model is not None:
        from freeze_omni.eval.decode import states

        folder = args.output / "states"
        states.decode(argparse.Namespace(**vars(args) | {"output": folder}))
        records = read_records(folder / "records.jsonl")
    else:
        takes = read_takes(args)
        notes = match(scenes, takes, args.outputs)
        records = {
            key: {"probabilities": as_probabilities(takes.get(key, []), len(labels[key]), rule.chunk_s)}
            for key in scenes
        }
        notes.append("a take is where the system begins to speak; the paper's head decides before that")
    said: list[Scene] = [read_scene(key, scenes[key], labels[key], record) for key, record in records.items()]
    figures = score_scenes(said, rule)
    names = ("take", "false_pause", "false_other", "turns_dropped")
    rows = [[share(figures[name]) for name in names] + [summary(figures["delay_s"], 2)]]
    head = ["turns taken %", "false takes in pauses %", "replies to other sounds %", "turns dropped %", "delay s"]
    return Report(
        f"Turn taking, {args.set or args.data.name}, {len(said)} scenes", head, rows, {"duplex": figures}, notes
    )


def read_takes(args: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds at which the system began to speak, by scene. Raises TableError."""
    path = args.outputs / "takes"
    if not path.is_file():
        return {key: beginnings(*read_audio(sound)) for key, sound in read_sounds(args.outputs).items()}
    takes = {}
    for number, (key, value) in enumerate(read_table(path, need_value=False).items(), start=1):
        try:
            takes[key] = sorted(float(word) for word in value.split())
        except ValueError:
            raise TableError(f"{path}:{number}: expected `<id> <second> <second> ...`") from None
    return takes


def beginnings(wav: np.ndarray, hz: int) -> list[float]:
    """Seconds at which sound (S,) begins, behind at least half a second of silence."""
    return [start_s for start_s, _ in speech_segments(wav, hz)]


def as_probabilities(takes: Sequence[float], chunks: int, chunk_s: float) -> list[list[float]]:
    """(chunks, 3): state 1 is certain in the chunk in which a take lies, state 0 elsewhere."""
    rows = [[1.0, 0.0, 0.0] for _ in range(chunks)]
    for take_s in takes:
        chunk = int(take_s / chunk_s)
        if 0 <= chunk < chunks:
            rows[chunk] = [0.0, 1.0, 0.0]
    return rows
