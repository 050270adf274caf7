"""rows.yaml: what each row of the table changes, and what is measured of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from freeze_omni.config import ConfigError, build, read_yaml

STAGES = ("1.1_encoder", "1.2_adapter", "1.3_dialogue", "2.2_speech_decoder", "2.3_prefix")
Measure = Literal["asr", "qa", "tts"]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        about: what it is, for the table.
        stages: by stage, keys that are put over those of its configuration, nested as there.
        adapter: of stage 1.2.
        answers: what 1.3 (and 1.2 with `targets: answers`) learns to say: the LLM's own answers, or the questions'
            reference answers.
        measure: transcripts, spoken questions, speech.
    """

    about: str
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapter: Literal["ctc", "conv"] = "ctc"
    answers: Literal["own", "reference"] = "own"
    measure: tuple[Measure, ...] = ("qa",)

    def __post_init__(self) -> None:
        unknown = set(self.stages) - set(STAGES)
        if unknown:
            raise ValueError(f"stages: no stage '{min(unknown)}'; there are {', '.join(STAGES)}")
        if not self.measure:
            raise ValueError("measure: name one of asr, qa, tts")


@dataclass(frozen=True)
class Table:
    """rows by name, in the table's order. minutes: of a stage that a row trains, where not as configured."""

    rows: dict[str, Row]
    minutes: dict[str, float] = field(default_factory=dict)


def read_table_config(path: Path, chosen: str = "") -> Table:
    """rows.yaml. chosen: names with commas between, all where empty. Raises ConfigError."""
    table = build(Table, read_yaml(path), str(path))
    names = [name for name in chosen.split(",") if name] or list(table.rows)
    for name in names:
        if name not in table.rows:
            raise ConfigError(f"{path}: no row '{name}'; there are {', '.join(table.rows)}")
    return Table({name: table.rows[name] for name in names}, table.minutes)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The mapping `base` with the keys of `over` put over it, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
