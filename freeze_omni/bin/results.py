"""Write RESULTS.md, and its pictures, from the results file of a run and those of other scales."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from freeze_omni.data.tables import write_lines
from freeze_omni.eval import figures
from freeze_omni.eval.decode.options import run
from freeze_omni.eval.render import render
from freeze_omni.eval.results import read_results
from freeze_omni.eval.spectrograms import spectrogram_pairs
from freeze_omni.eval.waterfall import latency_waterfall


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where a results file cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<scale>.json of the run")
    parser.add_argument("--beside", nargs="*", default=[], type=Path, help="those of other scales, shown beside it")
    parser.add_argument("--output", required=True, type=Path, help="RESULTS.md")
    parser.add_argument("--title", default="Results", help="its heading")
    parser.add_argument("--root", type=Path, help="decoding root of the run's default model: its pictures")
    parser.add_argument("--notes", type=Path, help="Markdown that is shown below the figures")
    parser.add_argument("--curves", nargs="*", default=[], type=Path, help="training folders")
    run(write, parser.parse_args(arguments))


def write(chosen: argparse.Namespace) -> None:
    """Pictures beside the run's results file, then the text: all scales, the quickest first."""
    others = [path for path in chosen.beside if path.absolute() != chosen.results.absolute()]
    try:
        own, *rest = [read_results(path) for path in (chosen.results, *others)]
    except ValueError as error:
        sys.exit(f"results: error: {error}")
    results = sorted([own, *rest], key=lambda one: one.get("wall_min") or float("inf"))
    folder = chosen.results.with_suffix("")
    pictures = [
        *figures.chunk_sizes(own, folder),
        *(decoded(chosen.root, folder) if chosen.root else []),
        *figures.curves(chosen.curves, folder),
        *(picture for path in others for picture in drawn_before(path)),
    ]
    links = [(title, os.path.relpath(path, chosen.output.parent)) for title, path in pictures]
    try:
        notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
    except OSError as error:
        sys.exit(f"results: error: {chosen.notes}: {error.strerror}; mend --notes")
    write_lines(chosen.output, render(chosen.title, results, links, notes).splitlines())
    print(f"wrote {chosen.output}")


def drawn_before(results: Path) -> list[figures.Picture]:
    """Pictures that lie beside another scale's results file, by the names of their files."""
    scale = results.with_suffix("")
    return [(f"{scale.name}: {path.stem.replace('_', ' ')}", path) for path in sorted(scale.glob("*.png"))]


def decoded(root: Path, folder: Path) -> list[figures.Picture]:
    """Pictures of what a decoding root holds."""
    return [
        *figures.states(root / "states", folder),
        *latency_waterfall(root / "latency", folder),
        *spectrogram_pairs(root / "codec", folder),
    ]


if __name__ == "__main__":
    main()
