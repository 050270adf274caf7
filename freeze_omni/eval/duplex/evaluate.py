"""`freeze-omni eval duplex --scenes`: play the scenes, or take what another system did; measure; write the folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from freeze_omni.eval.decode.options import read_config
from freeze_omni.eval.duplex.bench import write_bench
from freeze_omni.eval.duplex.scene import Scene, read_scenes
from freeze_omni.eval.duplex.score import HEAD, NOTES, backchannel_line, clock_line, scene_rows, score_outputs
from freeze_omni.eval.evaluate.report import Report


def evaluate(args: argparse.Namespace) -> Report:
    """A row for each kind of scene. Raises ValueErrors where something cannot be read."""
    scenes = read_scenes(args.scenes)
    outputs = args.outputs or args.output / "duplex"
    if args.outputs is None:
        _play(args, outputs, scenes)
    notes = []
    if args.judge is not None:
        notes.append(_transcribed(args, outputs, scenes))
    figures = score_outputs(outputs, scenes)
    if args.model is not None:
        figures["pace"] = read_config(args.config).duplex.pace
    tasks = write_bench(args.output / "full_duplex_bench", args.scenes, outputs, scenes)
    if figures["missing"]:
        notes.append(f"{len(figures['missing'])} scenes have no output.wav, as {figures['missing'][0]}: left out")
    notes += [*backchannel_line(figures), *clock_line(figures), *NOTES]
    notes.append(f"for Full-Duplex-Bench's own scripts: full_duplex_bench/{{{','.join(tasks)}}}")
    title = f"Talking at once, {args.set or args.scenes.name}, {figures['scenes']} scenes"
    return Report(title, list(HEAD), scene_rows(figures), {"duplex": figures}, notes)


def _play(args: argparse.Namespace, outputs: Path, scenes: list[Scene]) -> None:
    own = argparse.Namespace(**vars(args) | {"data": args.scenes, "output": outputs})
    if args.model is not None:
        from freeze_omni.eval.decode import duplex

        return duplex.decode(own)
    from freeze_omni.eval.duplex import realtime

    return realtime.play_scenes(own, scenes)


def _transcribed(args: argparse.Namespace, outputs: Path, scenes: list[Scene]) -> str:
    from dataclasses import replace

    from freeze_omni.eval.duplex.words import transcribe
    from freeze_omni.eval.judge import Judge

    judge = Judge(args.judge, replace(read_config(args.config).score.judge, language=args.language))
    transcribe(outputs, scenes, judge.words)
    return f"words by {judge.name}: a takeover is a second of words, or more than three"
