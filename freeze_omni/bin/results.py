"""Write RESULTS.md, and its pictures, from the results file of a run and those of other scales."""

import argparse
import os
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.data.tables import write_lines
from freeze_omni.eval import pictures as draw
from freeze_omni.eval.results import read_results, render


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<scale>.json of the run")
    parser.add_argument("--beside", nargs="*", default=[], type=Path, help="results of other scales, shown with it")
    parser.add_argument("--output", required=True, type=Path, help="RESULTS.md")
    parser.add_argument("--title", default="Results", help="its heading")
    parser.add_argument("--root", type=Path, help="decoding root of the run's default model: its pictures")
    parser.add_argument("--notes", type=Path, help="Markdown below the figures")
    parser.add_argument("--curves", nargs="*", default=[], type=Path, help="training folders")
    write(parser.parse_args(arguments))


@user_errors(ValueError, name="results")
def write(args: argparse.Namespace) -> None:
    """Pictures next to the run's results file, then the text: all scales, the quickest first."""
    others = [path for path in args.beside if path.absolute() != args.results.absolute()]
    own, *rest = [read_results(path) for path in (args.results, *others)]
    results = sorted([own, *rest], key=lambda one: one.get("wall_min") or float("inf"))
    folder = args.results.with_suffix("")
    pictures = draw.chunk_sizes(own, folder)
    if args.root:
        pictures += draw.states(args.root / "states", folder)
        pictures += draw.latency_waterfall(args.root / "latency", folder)
        pictures += draw.spectrogram_pairs(args.root / "codec", folder)
    pictures += draw.curves(args.curves, folder)
    for scale in (path.with_suffix("") for path in others):  # drawn when that scale was run
        pictures += [(f"{scale.name}: {path.stem.replace('_', ' ')}", path) for path in sorted(scale.glob("*.png"))]
    links = [(title, os.path.relpath(path, args.output.parent)) for title, path in pictures]
    try:
        notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    except OSError as error:
        raise ConfigError(f"{args.notes}: {error.strerror}; correct --notes") from None
    write_lines(args.output, render(args.title, results, links, notes).removesuffix("\n").split("\n"))
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
