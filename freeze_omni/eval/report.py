"""What a subject puts into tables: the report of one evaluation, and its sections of RESULTS.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from freeze_omni.data.tables import write_lines
from freeze_omni.eval.provenance import provenance
from freeze_omni.eval.tables import table

Results = Mapping[str, Any]
"""The content of one results/<scale>.json."""


@dataclass
class Report:
    """title, head and rows make the table; notes stand below it; figures go to the JSON."""

    title: str
    head: Sequence[str]
    rows: list[list[str]]
    figures: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Markdown."""
        return [f"## {self.title}", "", *table(self.head, self.rows), *(f"- {note}" for note in self.notes), ""]

    def write(self, folder: Path, name: str, started_s: float, seed: int) -> None:
        """`folder`/<name>.json and <name>.md, with the command that made them."""
        made = provenance(seed, started_s)
        text = {"title": self.title, "figures": self.figures, "notes": self.notes, "provenance": made}
        write_lines(folder / f"{name}.json", [json.dumps(text, indent=1, ensure_ascii=False)])
        how = f"- made by `{made['command']}` at commit {made['commit']}, {made['date']}"
        write_lines(folder / f"{name}.md", [*self.lines()[:-1], how])


class Section(NamedTuple):
    """lines: Markdown from all results, none without figures. paper: the paper's figures, never shown with a toy."""

    title: str
    lines: Callable[[Sequence[Results]], list[str]]
    paper: str = ""


def figures_of(results: Sequence[Results], name: str) -> Iterator[tuple[str, Any]]:
    """Every model that has figures called `name`, with its label in tables."""
    for result in results:
        for number, (model, figures) in enumerate(result["models"].items()):
            default = " (default)" if number == 0 and len(result["models"]) > 1 else ""
            if figures.get(name):
                yield f"{result['scale']}, {model}{default}", figures[name]


def pick(figures: Mapping[str, Any], *keys: str | None) -> Any:
    """The figure under nested keys, rounded; None if it was not measured."""
    value: Any = figures
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return round(value, 4) if isinstance(value, float) else value
