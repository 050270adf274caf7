"""Blanks and letters beyond ASCII in the paths of checkout, data and cache; a cache that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.shell.bash import ROOT, make_data_dir, ok, run

pytestmark = pytest.mark.processes

NOT_COPIED = shutil.ignore_patterns("__pycache__", "venv", "exp*", "dump*", "data*", "results")
DATA_SH = """#!/usr/bin/env bash
set -euo pipefail
. ./path.sh
. ./db.sh
data=data nj=1
corpus=  # Folder of the data directory to copy.
. parse_options.sh
for set in train dev; do copy_data_dir.sh "${corpus}" "${data}/${set}"; done
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the toolkit, without its tests, and with the same environment."""
    root = tmp_path_factory.mktemp("away") / "Eigene Daten é 语音" / "check out"
    root.mkdir(parents=True)
    for name in ("egs/TEMPLATE", "utils", "tools"):
        shutil.copytree(ROOT / name, root / name, ignore=NOT_COPIED)
    shutil.copytree(ROOT / "freeze_omni", root / "freeze_omni", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools/venv").symlink_to((ROOT / "tools/venv").resolve())
    shutil.copy(ROOT / "tools/activate_python.sh", root / "tools")
    return root


def test_a_recipe_runs(checkout):
    recipe = checkout / "egs/my corpus/asr1"
    ok(checkout / "egs/TEMPLATE/s2s1/setup.sh", recipe)
    corpus = make_data_dir(checkout / "the corpus")
    (recipe / "local/data.sh").write_text(DATA_SH)
    options = ["--conf", "conf/tiny", "--test_sets", "dev", "--stop_stage", "2", "--asr_pad_s", "0.2 0.2"]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [recipe / "run.sh", *options, "--local_data_opts", f"--corpus '{corpus}'"]
    first, again = (run(*command, cwd=recipe, env=env) for _ in range(2))
    assert first.returncode == 0, first.stdout + first.stderr
    sounds = [line.split(" ", 1)[1] for line in (recipe / "dump/raw/train/wav.scp").read_text().splitlines()]
    assert sounds and all(Path(sound).is_file() for sound in sounds)
    assert again.stdout.count("nothing changed, skipped") == 4, again.stdout + again.stderr
    rest = run("bash", "-c", ". stages/00_common.sh; first_sound dump/raw/train", cwd=_with_stages(recipe), env=env)
    assert rest.stdout == sounds[0] + "\n"


def _with_stages(recipe: Path) -> Path:
    (recipe / "stages").symlink_to(recipe.parents[1] / "TEMPLATE/s2s1/stages")
    return recipe


def test_the_tools_for_data_directories_run(checkout):
    data, utils = make_data_dir(checkout / "a set"), checkout / "utils"
    ok(utils / "copy_data_dir.sh", "--utt-prefix", "x-", data, checkout / "a copy")
    ok(utils / "combine_data.sh", checkout / "both of them", data, checkout / "a copy")
    ok(utils / "subset_data_dir.sh", "--first", checkout / "both of them", "3", checkout / "a part")
    ok(utils / "fix_data_dir.sh", checkout / "a part")
    assert "is fine" in ok(utils / "validate_data_dir.sh", "--no-feats", checkout / "a part")


@pytest.mark.parametrize("runner", ["run.pl", "slurm.pl"])
def test_jobs_run(checkout, runner):
    folder = checkout / "some jobs"
    folder.mkdir(exist_ok=True)
    (folder / "sbatch").write_text('#!/bin/bash\ncat >"$HERE/batch"; bash "$HERE/batch"\n')
    (folder / "sbatch").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HERE": str(folder)}
    log = folder / f"{runner} é.log"
    result = run(checkout / "utils" / runner, log, "cat", folder / "sbatch", cwd=folder, env=env)
    assert result.returncode == 0, result.stderr
    assert 'bash "$HERE/batch"' in log.read_text()


def test_words_of_an_option_may_be_quoted():
    script = f". '{ROOT}/egs/TEMPLATE/s2s1/stages/00_runs.sh'; split_words \"$1\"; printf '[%s]' \"${{words[@]}}\""
    found = run("bash", "-c", script, "words", "--a '/my data/é' \"b c\" '' d\\ e")
    assert found.stdout == "[--a][/my data/é][b c][][d e]"


def test_a_part_in_a_read_only_cache_is_used(tmp_path):
    """As another user than root, for whom everything is writable."""
    cache = tmp_path / "shared cache"
    (cache / "thing").mkdir(parents=True)
    (cache / "thing/.done").write_text("1\n")
    script = tmp_path / "get_thing.sh"
    begin = "part_begin \"$1\" 1 NO_FOLDER model.bin; echo 'not reached'"
    script.write_text(f"set -euo pipefail; source '{ROOT}/tools/installers/fetch.sh'; {begin}\n")
    for path in (cache, cache / "thing"):
        path.chmod(0o555)
    for path in (tmp_path, *tmp_path.parents):
        if path == Path(tempfile.gettempdir()):
            break
        path.chmod(0o755)
    user = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.getuid() == 0 else []
    env = {**os.environ, "FREEZE_OMNI_CACHE": str(cache)}

    def get(part: str) -> subprocess.CompletedProcess:
        return run(*user, "bash", script, part, env=env)

    assert get("thing").stdout == f"{cache}/thing\n"
    assert "cannot write to" in (other := get("other")).stderr and "not reached" not in other.stdout
    cache.chmod(0o755)
