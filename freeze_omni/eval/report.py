"""What an evaluation gives: a table with the paper's figures beside it, and all figures as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import write_lines
from freeze_omni.eval.provenance import provenance
from freeze_omni.eval.tables import table


@dataclass
class Report:
    """title, head and rows make the table; notes are said below it; figures is what the JSON holds."""

    title: str
    head: list[str]
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
