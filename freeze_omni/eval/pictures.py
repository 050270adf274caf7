"""Pictures of RESULTS.md. matplotlib is imported only here, and only when something is drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.eval.decode.sets import read_states
from freeze_omni.eval.records import read_records

Picture = tuple[str, Path]
COLOURS = ("tab:gray", "tab:green", "tab:red")
STATES = ("0 goes on", "1 answer", "2 do not answer")


def chunk_sizes(results: Mapping[str, Any], folder: Path) -> list[Picture]:
    """Chunk size against WER, a line for each model and test set."""
    lines = [
        (f"{model}, {test_set}", [(name, f["percent"]) for name, f in found.items() if name != "llm"])
        for model, figures in results["models"].items()
        for test_set, found in figures.get("asr", {}).items()
    ]
    lines = [(label, sorted(points, key=_chunk)) for label, points in lines if len(points) > 1]
    if not lines:
        return []
    figure, axes = new_figure(5, 3)
    for label, points in lines:
        names = [name.removeprefix("chunk").removeprefix("_") for name, _ in points]
        axes.plot(names, [value for _, value in points], marker="o", label=label)
    axes.set(xlabel="chunk, encoder frames of 40 ms", ylabel="WER %", ylim=(0, None))
    axes.legend(fontsize=7)
    return [("WER by chunk size", save_figure(figure, folder / "chunk_wer.png"))]


def _chunk(point: tuple[str, float]) -> float:
    size = point[0].removeprefix("chunk")
    return float("inf") if size == "_inf" else int(size)


def states(folder: Path, output: Path, count: int = 3) -> list[Picture]:
    """State probabilities and labels over the wave form, of a few scenes with different labels."""
    if not (folder / "records.jsonl").exists():
        return []

    data = Path(json.loads((folder / "made_from.json").read_text(encoding="utf-8"))["data"])
    records, labels = read_records(folder / "records.jsonl"), read_states(data / "states")
    table = read_table(data / "wav.scp")
    chosen: dict[tuple[int, ...], str] = {}
    for key in records:
        chosen.setdefault(tuple(sorted({label for label in labels[key] if label > 0})), key)
    keys = list(chosen.values())[:count]
    if not keys:
        return []
    figure, grid = new_figure(8, 2 * len(keys), rows=len(keys))
    for axes, key in zip(np.atleast_1d(grid), keys, strict=True):
        wav, hz = read_audio(table[key])
        draw_states(axes, wav, hz, np.asarray(records[key]["probabilities"]), labels[key])
        axes.set_title(f"{key}: {records[key]['transcript']}", fontsize=8)
    np.atleast_1d(grid)[0].legend(fontsize=7, loc="upper left")
    return [("State decisions on the wave form", save_figure(figure, output / "states.png"))]


def draw_states(axes: Any, wav: np.ndarray, hz: int, said: np.ndarray, labels: Sequence[int]) -> None:
    """Wave (S,), probabilities (C, 3) as lines at the chunks' ends, decisions in the labels as bars."""
    chunk_s = 0.16
    peak = max(float(np.abs(wav).max()), 1e-6)
    step = max(len(wav) // 4000, 1)
    axes.plot(np.arange(0, len(wav), step) / hz, wav[::step] / peak / 2 + 0.5, color="0.8", lw=0.5)
    ends = (np.arange(len(said)) + 1) * chunk_s
    for state, (colour, name) in enumerate(zip(COLOURS, STATES, strict=True)):
        if len(said):
            axes.plot(ends, said[:, state], color=colour, label=name, lw=1.2)
        for chunk, label in enumerate(labels):
            if label == state and label > 0:
                axes.axvspan(chunk * chunk_s, (chunk + 1) * chunk_s, color=colour, alpha=0.25)
    axes.set(xlim=(0, len(wav) / hz), ylim=(0, 1.02), ylabel="probability")


def curves(folders: Sequence[Path], output: Path) -> list[Picture]:
    """The loss curves that training drew, copied beside the results."""
    found = []
    for folder in folders:
        source = folder / "images" / "loss.png"
        if source.exists():
            target = output / f"{folder.name}_loss.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            found.append((f"Loss of {folder.name}", target))
    return found


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A figure of so many inches, and its axes (one, or an array)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(width, height), constrained_layout=True)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a PNG and forget the figure; returns the path."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path
