"""What all recipes have in common: their files, the index, and what they say without their corpus."""

from __future__ import annotations

import os

import pytest

from tests.recipes.miniature_recipes import EGS, RECIPES
from tests.shell.bash import ROOT, ok, run

NAMES = sorted(str(path.parent.relative_to(EGS)) for path in EGS.glob("*/*/run.sh") if "TEMPLATE" not in path.parts)


def test_every_recipe_has_a_miniature():
    assert set(NAMES) - {"mini/s2s1", "freeze_omni/s2s1", "ablation/s2s1"} == set(RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_thin(name):
    folder = EGS / name
    assert len((folder / "run.sh").read_text().splitlines()) <= 30
    driven = "./s2s.sh" in (folder / "run.sh").read_text()  # the ablations have steps of their own
    for link in ("s2s.sh", "path.sh") if driven else ("path.sh",):
        assert (folder / link).resolve() == EGS / "TEMPLATE/s2s1" / link
    for file in ("run.sh", "local/data.sh"):
        assert os.access(folder / file, os.X_OK)


def test_the_index_is_that_of_the_recipes():
    assert ok("python3", ROOT / "tools/recipe_index.py") == (EGS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].variable not in ("", "FROM_HF")])
def test_a_recipe_says_which_corpus_it_needs(name, tmp_path):
    empty = {key: value for key, value in os.environ.items() if key not in ("SGD", RECIPES[name].variable)}
    result = run(EGS / name / "local/data.sh", "--data", tmp_path, cwd=EGS / name, env=empty)
    assert result.returncode != 0
    assert RECIPES[name].variable in result.stderr and "db.sh" in result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_data_sh_explains_its_options(name):
    if name != "mini/s2s1":
        text = ok(EGS / name / "local/data.sh", "--help", cwd=EGS / name)
        assert "--data" in text and "--nj" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_that_ran_on_a_miniature_alone_says_so(name):
    """What ran on its whole data has recorded results; AN4 comes with a few real utterances."""
    row = next(line for line in (EGS / name / "README.md").read_text().splitlines() if line.startswith("| Ran on |"))
    assert ("miniature" in row) == (not (EGS / name / "RESULTS.md").exists() and name != "an4/asr1")
