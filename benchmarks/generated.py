"""Parts of a document that a program writes: between two comments, the rest of the file stays."""

from __future__ import annotations

from pathlib import Path


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
