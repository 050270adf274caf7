"""Where the time goes between the end of a question and the first sound of its answer, a bar for each question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.eval.figures import Picture, new_figure, save_figure
from freeze_omni.eval.records import read_records

# part of a bar: the marks between which it lies (`end` is the end of the question's sound)
PARTS = {
    "wait for the decision": ("end", "asked"),
    "LLM, first text segment": ("asked", "segment"),
    "prefill": ("segment", "prefill"),
    "speech tokens": ("prefill", "tokens"),
    "codec": ("tokens", "audio"),
}


def parts_ms(record: Mapping[str, Any]) -> list[float]:
    """Milliseconds of each part of one timed question; a decision before the sound's end waits for nothing."""
    marks = {**record["marks"], "end": record["question_end_s"]}
    return [1000 * max(marks[after] - marks[before], 0.0) for before, after in PARTS.values()]


def latency_waterfall(folder: Path, output: Path) -> list[Picture]:
    """Of a decoding folder of latency; nothing where no question was answered."""
    path = folder / "records.jsonl"
    records = read_records(path).values() if path.exists() else ()
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
    axes.set(xlabel="ms behind the end of the question")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(fontsize=7)
    return [("Latency, part by part", save_figure(figure, output / "latency.png"))]
