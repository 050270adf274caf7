"""Write RESULTS.md, and its pictures, from the results files of one or more scales."""

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
    parser.add_argument("--results", required=True, nargs="+", type=Path, help="results/<scale>.json")
    parser.add_argument("--output", required=True, type=Path, help="RESULTS.md")
    parser.add_argument("--title", default="Results", help="its heading")
    parser.add_argument("--root", type=Path, help="decoding root of the first scale's default model: its pictures")
    parser.add_argument("--notes", type=Path, help="Markdown that is shown below the figures")
    parser.add_argument("--curves", nargs="*", default=[], type=Path, help="training folders")
    run(write, parser.parse_args(arguments))


def write(chosen: argparse.Namespace) -> None:
    """Pictures beside each results file, then the text."""
    try:
        results = [read_results(path) for path in chosen.results if path.exists()]
    except ValueError as error:
        sys.exit(f"results: error: {error}")
    if not results:
        sys.exit(f"results: error: {chosen.results[0]}: no such results; run stage 12")
    folder = chosen.results[0].with_suffix("")
    pictures = [
        *figures.chunk_sizes(results[0], folder),
        *(decoded(chosen.root, folder) if chosen.root else []),
        *figures.curves(chosen.curves, folder),
    ]
    links = [(title, os.path.relpath(path, chosen.output.parent)) for title, path in pictures]
    try:
        notes = chosen.notes.read_text(encoding="utf-8") if chosen.notes else ""
    except OSError as error:
        sys.exit(f"results: error: {chosen.notes}: {error.strerror}; mend --notes")
    write_lines(chosen.output, render(chosen.title, results, links, notes).splitlines())
    print(f"wrote {chosen.output}")


def decoded(root: Path, folder: Path) -> list[figures.Picture]:
    """Pictures of what a decoding root holds."""
    return [
        *figures.states(root / "states", folder),
        *latency_waterfall(root / "latency", folder),
        *spectrogram_pairs(root / "codec", folder),
    ]


if __name__ == "__main__":
    main()
