"""The table of stages, which the recipes ask, says what the tasks do."""

from __future__ import annotations

import pytest

from freeze_omni.stages import STAGES
from tests.tasks.conftest import STAGES as TOYS


@pytest.mark.parametrize("name", list(TOYS))
def test_the_table_says_what_a_stage_takes_and_saves(toy, name):
    stage = next(stage for stage in STAGES if stage.name == TOYS[name][0])
    model, args = toy.build(name)
    assert set(stage.saves(args.model)) == model.saved
    parts = {part for names in TOYS[name][2].values() for part in names.split(",")}
    assert parts <= set(stage.takes)
