"""The driver of the recipes: --help, checks before work, finished work that is not done again, new recipes."""

import pytest

from tests.shell.bash import ROOT, ok, run

TEMPLATE = ROOT / "egs" / "TEMPLATE" / "s2s1"


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "egs" / "foo" / "asr1"
    ok(TEMPLATE / "setup.sh", folder)
    return folder


def once(folder, *inputs, command="true"):
    """Call `once work INPUTS -- COMMAND` of the template in `folder`."""
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; work_done=false; mkdir -p exp/.stages; "
        f'once work "$@" -- bash -c "{command}"; echo "work_done=$work_done"'
    )
    return run("bash", "-c", script, "once", *inputs, cwd=folder)


def test_work_is_skipped_until_an_input_changes(tmp_path):
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    command = "mkdir -p exp/work; date +%N >> exp/work/ran"
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    assert "work_done=false" in once(tmp_path, "conf.yaml", command=command).stdout
    assert len((tmp_path / "exp/work/ran").read_text().splitlines()) == 1
    (tmp_path / "conf.yaml").write_text("a: 2\n")
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    kept = list((tmp_path / "exp").glob("work.*/ran"))
    assert len(kept) == 1, "the old folder must be kept"


def test_failed_work_is_named_and_continued_in_its_folder(tmp_path):
    failed = once(tmp_path, "word", command="mkdir -p exp/work; touch exp/work/half; false")
    assert failed.returncode != 0
    assert "work failed" in failed.stderr and "run the same command again" in failed.stderr
    again = once(tmp_path, "word", command="mkdir -p exp/work; touch exp/work/half; false")
    assert again.returncode != 0
    assert (tmp_path / "exp/work/half").exists() and not list((tmp_path / "exp").glob("work.*"))


def test_a_new_recipe_runs_the_template(recipe):
    assert (recipe / "run.sh").exists() and (recipe / "local/data.sh").exists()
    text = ok(recipe / "s2s.sh", "--help", cwd=recipe)
    for option in ("stage", "stop_stage", "skip_stages", "ngpu", "nj", "expdir", "dumpdir", "train_set"):
        assert f"--{option}" in text


def test_setup_refuses_unknown_tasks_and_existing_recipes(recipe, tmp_path):
    assert "unknown task 'st1'" in run(TEMPLATE / "setup.sh", tmp_path / "foo" / "st1").stderr
    assert "exists already" in run(TEMPLATE / "setup.sh", recipe).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--conf", "conf/none"], "--conf conf/none: no such folder"),
        (["--llm", "/no/such/llm"], "--llm /no/such/llm: no such folder"),
        (["--stge", "1"], "stge"),
    ],
)
def test_wrong_options_are_told_before_work(recipe, options, message):
    result = run(recipe / "s2s.sh", "--conf", "conf/base", *options, cwd=recipe)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
