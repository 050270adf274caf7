"""Parts of a file that a program writes, where the rest stays: between two comments of a page, or keys of a JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def put(path: Path, name: str, text: str, title: str = "# Benchmarks\n") -> None:
    """Replace the part `name` of a Markdown file, or add it at the end. title: of a file that is not there yet."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = path.read_text(encoding="utf-8") if path.exists() else title
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2] or "\n"
    if not found:
        before = before.rstrip("\n") + "\n\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def put_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Replace keys of a JSON file, or add them."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(old | dict(figures), indent=1) + "\n", encoding="utf-8")
