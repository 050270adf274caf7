"""Figures in Markdown tables, the report of one evaluation, and the sections of RESULTS.md."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from freeze_omni.data.tables import write_lines
from freeze_omni.eval.sets import write_json
from freeze_omni.provenance import provenance

MISSING = "-"
NAMES = {  # of adapters in tables
    "ctc": "CTC tokens (a cascade)",
    "words": "CTC tokens of words (a cascade)",
    "pool": "continuous, token rate",
    "conv": "convolution (the paper)",
}
TRANSCRIBER = "words of Whisper's decoder (a cascade)"  # of a model that has one


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table; nothing for no rows."""
    lines = [list(head), ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines] + [""] if rows else []


def number(value: float | None, digits: int = 2) -> str:
    """A rounded number, `-` for none."""
    return MISSING if value is None else f"{value:.{digits}f}"


def rate(figures: Mapping[str, Any] | None) -> str:
    """An error rate with its interval: `12.3 (9.8-15.1)`."""
    return mean(figures, 1, "percent")


def share(figures: Mapping[str, Any] | None, key: str = "share") -> str:
    """A share in percent with its interval and count: `85.0 (77.1-92.0), 60`."""
    if not figures or figures.get(key) is None:
        return MISSING
    percent = {name: 100 * figures[name] for name in (key, "low", "high")}
    return f"{mean(percent, 1, key)}, {figures.get('count', figures.get('questions'))}"


def mean(figures: Mapping[str, Any] | None, digits: int = 2, key: str = "mean") -> str:
    """A mean with its interval: `3.21 (3.10-3.30)`."""
    if not figures:
        return MISSING
    return f"{figures[key]:.{digits}f} ({figures['low']:.{digits}f}-{figures['high']:.{digits}f})"


def difference(figures: Mapping[str, Any] | None) -> str:
    """A difference of shares in points with its interval: `-12.5 (-20.0 to -5.0)`; none if 0 lies within that."""
    if not figures or figures.get("mean") is None:
        return MISSING
    points, low, high = (100 * figures[name] for name in ("mean", "low", "high"))
    text = f"{points:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"none: {text}" if low <= 0 <= high else text


def summary(figures: Mapping[str, Any] | None, digits: int = 0) -> str:
    """average | 50 % | 90 %, as in the paper's latency table, with slashes."""
    if not figures or figures.get("average") is None:
        return MISSING
    return " / ".join(f"{figures[key]:.{digits}f}" for key in ("average", "p50", "p90"))


Results = Mapping[str, Any]  # the content of one results/<scale>.json


@dataclass
class Report:
    """title, head and rows make the table; notes stand below it; figures go to the JSON."""

    title: str
    head: Sequence[str]
    rows: list[list[str]]
    figures: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"## {self.title}", "", *table(self.head, self.rows), *(f"- {note}" for note in self.notes), ""]

    def write(self, folder: Path, name: str, started_s: float, seed: int) -> None:
        """`folder`/<name>.json and <name>.md, with the command that made them."""
        made = provenance(seed, started_s)
        text = {"title": self.title, "figures": self.figures, "notes": self.notes, "provenance": made}
        write_json(folder / f"{name}.json", text)
        how = f"- made by `{made['command']}` at commit {made['commit']}, {made['date']}"
        write_lines(folder / f"{name}.md", [*self.lines()[:-1], how])


Found = Sequence[tuple[str, Any]]  # models' labels in tables, with their figures of one name


class Section(NamedTuple):
    """lines: Markdown from the figures called `name`. paper: the paper's figures, never shown with a toy."""

    title: str
    name: str
    lines: Callable[[Found], list[str]]
    paper: str = ""


def figures_of(results: Sequence[Results], name: str) -> Iterator[tuple[str, Any]]:
    """Every model that has figures called `name`, with its label in tables."""
    for result in results:
        for number, (model, figures) in enumerate(result["models"].items()):
            default = " (default)" if number == 0 and len(result["models"]) > 1 else ""
            if figures.get(name):
                yield f"{result['scale']}, {_adapter(result, model)}{default}", figures[name]


def _adapter(result: Mapping[str, Any], model: str) -> str:
    """The name of a model's adapter, and whose words it sends."""
    parts = result.get("sizes", {}).get(model, {}).get("parameters", {})
    return TRANSCRIBER if "transcriber" in parts else NAMES.get(model, model)
