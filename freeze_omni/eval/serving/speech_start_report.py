"""The measures of `speech_start` as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freeze_omni.eval.pictures import new_figure, save_figure
from freeze_omni.eval.serving.speech_start import CHUNKS, SEGMENTS, SILENCE_MS, best
from freeze_omni.eval.tables import number, rate, summary, table

TITLES = {SEGMENTS: "first segment", CHUNKS: "codec chunks"}


def markdown(found: Sequence[Mapping[str, Any]], own: Mapping[str, Any], slack: float) -> list[str]:
    """A row for each setting. own: the model's `segments` and `chunks` by name. The chosen ones are bold."""
    chosen = {sweep: best(found, sweep, slack)["name"] for sweep in TITLES}
    rows = []
    for one in found:
        name = one["name"]
        shown = f"**{name}**" if chosen[one["sweep"]] == name else name
        note = " (the model's own)" if own[one["sweep"]] == name else ""
        cells = rate(one["wer"]), summary(one["first_audio_ms"]), number(one["gaps_ms"], 0)
        rows.append([TITLES[one["sweep"]], shown + note, *cells])
    head = ["varied", "setting", "WER %", "first audio, ms: average / 50 % / 90 %", "silence inside an answer, ms"]
    rule = (
        f"Bold: the earliest first audio (median) of those that are within {slack:g} percent points of the best WER "
        f"and silent inside an answer for {SILENCE_MS:g} ms at most."
    )
    return [*table(head, rows), rule]


def draw(found: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Median first audio against WER, a line for each sweep; a PNG."""
    figure, axes = new_figure(6, 4)
    for sweep, title in TITLES.items():
        points = [one for one in found if one["sweep"] == sweep and one["first_audio_ms"]["p50"] is not None]
        places = [(one["first_audio_ms"]["p50"], one["wer"]["percent"]) for one in points]
        axes.plot(*zip(*places, strict=True), marker="o", label=title)
        for one, place in zip(points, places, strict=True):
            axes.annotate(one["name"], place, fontsize=6, xytext=(3, 3), textcoords="offset points")
    axes.set(xlabel="first audio, median, ms", ylabel="WER %", ylim=(0, None))
    axes.legend(fontsize=8)
    return save_figure(figure, path)
