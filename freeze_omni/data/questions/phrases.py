"""Speech that asks for no answer: backchannels and side talk, from `phrases.yaml` beside the fact tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import build, read_yaml
from freeze_omni.data.questions.facts import fill, read_rows

PHRASES = "phrases.yaml"


@dataclass(frozen=True)
class SideTalk:
    """Templates over the rows of a table; table "" is for sentences without a slot."""

    templates: tuple[str, ...]
    table: str = ""


@dataclass(frozen=True)
class Phrases:
    """What people say that is not for the system to answer."""

    backchannels: tuple[str, ...]
    side_talk: tuple[SideTalk, ...]


def read_phrases(folder: str | Path) -> tuple[list[str], list[str]]:
    """Returns (backchannels, side talk sentences). Raises ConfigError and TableError as facts.py does."""
    path = Path(folder) / PHRASES
    phrases = build(Phrases, read_yaml(path), str(path))
    said: dict[str, None] = {}
    for block in phrases.side_talk:
        rows = read_rows(Path(folder) / block.table) if block.table else [{}]
        for row in rows:
            said.update(dict.fromkeys(fill(t, row, str(path)) for t in block.templates))
    return list(phrases.backchannels), list(said)
