"""What a row trains, and where its checkpoints are: its own, or those of the recipe that it builds on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from freeze_omni.config import read_yaml
from freeze_omni.eval.ablation.rows import STAGES, Row, merged
from freeze_omni.eval.ablation.sources import Sources

BUILDS_ON = {"1.2_adapter": "1.1_encoder", "1.3_dialogue": "1.2_adapter", "2.3_prefix": "2.2_speech_decoder"}
TUNING = "llm_tuning"


@dataclass(frozen=True)
class RunOptions:
    """What all rows have in common. out: folder of the rows. decode: decode.yaml of stages 11 and 12."""

    out: Path
    llm: str
    system: str
    decode: Path
    judge: Path | None = None
    ngpu: int = 0
    threads: int = 2
    seed: int = 777
    minutes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RowPlan:
    """One row: which stages it trains, and where each stage's checkpoint is."""

    name: str
    row: Row
    sources: Sources
    options: RunOptions
    _configs: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        return self.options.out / self.name

    def config(self, stage: str) -> dict[str, Any]:
        """The stage's configuration, with what the row changes."""
        if stage not in self._configs:
            name = f"{stage}_{self.row.adapter}" if stage == "1.2_adapter" else stage
            base = read_yaml(self.sources.conf / f"{name}.yaml")
            if stage in self.options.minutes:
                base["max_minutes"] = self.options.minutes[stage]
            self._configs[stage] = merged(base, self.row.stages.get(stage, {}))
        return self._configs[stage]

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """The stages that differ from the recipe's, or build on one that does, or that it lacks."""
        found: list[str] = []
        begun = self.sources.trained("1.1_encoder").exists()  # a recipe trains the adapters that it is asked for
        for stage in STAGES:
            new = stage in self.row.stages or BUILDS_ON.get(stage) in found
            if begun and stage in ("1.2_adapter", "1.3_dialogue"):
                new = new or not self.sources.trained(self._recipe_folder(stage)).exists()
            if stage == "1.3_dialogue":
                new = new or self.row.answers != "own"
            if stage == "2.3_prefix":
                new = new or ("tts" in self.row.measure and self.tuned("1.3_dialogue"))
            found += [stage] if new else []
        return tuple(found)

    def stage_folder(self, stage: str) -> Path:
        """Of the training: the row's own, or the recipe's."""
        return self.folder / stage if stage in self.trained else self.sources.exp / self._recipe_folder(stage)

    def tuned(self, stage: str) -> bool:
        """Whether the row learns something beside the LLM up to stage 1.2 or 1.3."""
        stages = ("1.2_adapter", "1.3_dialogue")[: 1 if stage == "1.2_adapter" else 2]
        return any(self.config(name)["model"].get(TUNING) is not None for name in stages)

    def parts(self, stage: str, *names: str) -> str:
        """Parts of a stage's checkpoint as --init_parts and --parts take them."""
        return f"{self.stage_folder(stage) / self.sources.checkpoint}:{','.join(names)}"

    def _recipe_folder(self, stage: str) -> str:
        return f"{stage}_{self.row.adapter}" if stage in ("1.2_adapter", "1.3_dialogue") else stage
