"""Pictures of RESULTS.md. matplotlib is imported only here, and only to draw."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.duplex.state_head import STATES as STATES_OF_PAPER
from freeze_omni.eval.codec import COPY, ORIGINAL
from freeze_omni.eval.runner import data_of, read_records
from freeze_omni.eval.sets import read_states

Picture = tuple[str, Path]
COLOURS = ("tab:gray", "tab:green", "tab:red", "tab:purple")
STATES = ("0 goes on", "1 answer", "2 do not answer", "3 wait")
_WINDOW_S = 0.032
_RANGE_DB = 80.0
# part of a bar: the marks between which it lies (`end` is the end of the question's sound)
PARTS = {
    "wait for the decision": ("end", "asked"),
    "LLM, first text segment": ("asked", "segment"),
    "prefill": ("segment", "prefill"),
    "speech tokens": ("prefill", "tokens"),
    "codec": ("tokens", "audio"),
}


def chunk_sizes(results: Mapping[str, Any], folder: Path) -> list[Picture]:
    """Chunk size against WER, a line for each model and test set."""
    lines = [
        (f"{model}, {test_set}", [(name, f["percent"]) for name, f in found.items() if name.startswith("chunk")])
        for model, figures in results["models"].items()
        for test_set, found in figures.get("asr", {}).items()
    ]
    lines = [(label, points) for label, points in lines if len(points) > 1]
    if not lines:
        return []
    figure, axes = new_figure(5, 3)
    for label, points in lines:
        points.sort(key=lambda point: float(_size(point[0])))
        axes.plot([_size(name) for name, _ in points], [value for _, value in points], marker="o", label=label)
    axes.set(xlabel="chunk, encoder frames of 40 ms", ylabel="WER %", ylim=(0, None))
    axes.legend(fontsize=7)
    return [("WER by chunk size", save_figure(figure, folder / "chunk_wer.png"))]


def _size(name: str) -> str:
    return name.removeprefix("chunk").removeprefix("_")  # of chunk4, chunk_inf


def states(folder: Path, output: Path, count: int = 3) -> list[Picture]:
    """State probabilities and labels over the wave form, of some scenes with different labels."""
    if not (folder / "records.jsonl").exists():
        return []
    data = data_of(folder)
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
    """Wave (S,), probabilities (C, states) as lines at the chunks' ends, decisions in the labels as bars."""
    chunk_s = 0.16
    peak = max(float(np.abs(wav).max()), 1e-6)
    step = max(len(wav) // 4000, 1)
    axes.plot(np.arange(0, len(wav), step) / hz, wav[::step] / peak / 2 + 0.5, color="0.8", lw=0.5)
    ends = (np.arange(len(said)) + 1) * chunk_s
    for state, (colour, name) in enumerate(zip(COLOURS, STATES, strict=True)):
        if state >= STATES_OF_PAPER and not (said.shape[-1] > state or state in labels):
            continue
        if len(said) and said.shape[1] > state:
            axes.plot(ends, said[:, state], color=colour, label=name, lw=1.2)
        for chunk, label in enumerate(labels):
            if label == state and label > 0:
                axes.axvspan(chunk * chunk_s, (chunk + 1) * chunk_s, color=colour, alpha=0.25)
    axes.set(xlim=(0, len(wav) / hz), ylim=(0, 1.02), ylabel="probability")


def parts_ms(record: Mapping[str, Any]) -> list[float]:
    """Milliseconds of each part of one timed question; a decision before its end has no waiting time."""
    marks = {**record["marks"], "end": record["question_end_s"]}
    return [1000 * max(marks[after] - marks[before], 0.0) for before, after in PARTS.values()]


def latency_waterfall(folder: Path, output: Path) -> list[Picture]:
    """Of a decoding folder of latency; nothing if no question was answered."""
    records = read_records(folder / "records.jsonl").values()
    rows = {record["id"]: parts_ms(record) for record in records if "audio" in record["marks"]}
    if not rows:
        return []
    rows = dict(sorted(rows.items(), key=lambda item: sum(item[1])))
    rows["median"] = np.median(list(rows.values()), axis=0).tolist()
    figure, axes = new_figure(7, 0.8 + 0.28 * len(rows))
    names, lengths = list(rows), np.asarray(list(rows.values()))
    starts = np.cumsum(lengths, axis=1) - lengths
    for column, name in enumerate(PARTS):
        axes.barh(names, lengths[:, column], left=starts[:, column], label=name)
    axes.set(xlabel="ms after the end of the question")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(fontsize=7)
    return [("Latency, part by part", save_figure(figure, output / "latency.png"))]


def spectrogram_db(wav: np.ndarray, hz: int) -> np.ndarray:
    """(S,) samples to (frequencies, frames) in dB below the loudest, from -80 to 0."""
    size = 2 * round(_WINDOW_S * hz / 2)
    padded = np.pad(wav, (0, max(size - len(wav), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4] * np.hanning(size)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-9)
    return np.clip(level - level.max(), -_RANGE_DB, 0.0).T


def spectrogram_pairs(folder: Path, output: Path, count: int = 2) -> list[Picture]:
    """Originals above, the codec's copies below, from its decoding folder, if any."""
    paths = {name: folder / name / "wav.scp" for name in (ORIGINAL, COPY)}
    sets = {name: read_table(path) for name, path in paths.items() if path.exists()}
    keys = [key for key in sets.get(ORIGINAL, ()) if key in sets.get(COPY, ())][:count]
    if not keys:
        return []
    figure, grid = new_figure(4 * len(keys), 4, rows=2, columns=len(keys))
    for row, (name, table) in zip(np.reshape(grid, (2, len(keys))), sets.items(), strict=True):
        for axes, key in zip(row, keys, strict=True):
            wav, hz = read_audio(table[key])
            extent = (0, len(wav) / hz, 0, hz / 2000)
            axes.imshow(spectrogram_db(wav, hz), origin="lower", aspect="auto", extent=extent, cmap="magma")
            axes.set(ylabel="kHz", title=f"{key}: {name}")
            axes.title.set_fontsize(8)
    return [("Originals and the codec's copies", save_figure(figure, output / "spectrograms.png"))]


def curves(folders: Sequence[Path], output: Path) -> list[Picture]:
    """The loss curves that training drew, copied next to the results."""
    found = []
    for folder in folders:
        source = folder / "images" / "loss.png"
        if source.exists():
            output.mkdir(parents=True, exist_ok=True)
            found.append((f"Loss of {folder.name}", shutil.copyfile(source, output / f"{folder.name}_loss.png")))
    return found


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A figure (sizes in inches), and its axes (one, or an array)."""
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
