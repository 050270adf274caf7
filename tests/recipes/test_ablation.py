"""Two rows of the ablation table on a toy recipe: trained, packed, decoded, scored, and not again."""

from __future__ import annotations

import json

import pytest

from freeze_omni.bin.ablate import main
from freeze_omni.pack import load
from tests.eval.ablation_rig import arguments, finished_recipe, in_process

pytestmark = pytest.mark.corpora
ROWS = {
    "frozen": {"about": "the recipe itself"},
    "both": {
        "about": "a prefix, learned from answers and from the LLM that reads",
        "stages": {
            "1.2_adapter": {"model": {"targets": "answers", "kl_weight": 1.0}},
            "1.3_dialogue": {"model": {"kl_weight": 1.0, "llm_tuning": {"prefix": {"positions": 3}}}},
        },
    },
}


def test_rows_are_run_once_and_stand_in_the_table(tmp_path, capsys):
    recipe = finished_recipe(tmp_path)
    main(arguments(recipe, ROWS), in_process)
    table = (recipe / "RESULTS.md").read_text()
    assert "A toy" in table and "| frozen |" in table and "| both |" in table and "Not run yet" not in table
    model = load(recipe / "rows/both/system")
    assert model.llm.own_positions == 3 and model.llm.fingerprint() == model.config.llm.fingerprint
    records = (recipe / "rows/both/decode/qa/records.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in records} == {"utt0", "utt2"}
    capsys.readouterr()
    main(arguments(recipe, ROWS), in_process)
    assert capsys.readouterr().out.count("nothing changed, skipped") == 3 + 5
