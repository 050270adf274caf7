"""The wheel holds the package and nothing else is needed: `tests/run.sh --wheel`.

A fresh environment gets the wheel, and from this one only the packages that the wheel asks for: nothing is downloaded,
and what its requirements do not name cannot be imported there.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement

from freeze_omni.pack import save
from tests.shell.bash import ROOT
from tests.toy import toy_system

pytestmark = pytest.mark.wheel
EXTRA = "serve"
PIP = ("-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, without what earlier builds left behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        copy(ROOT / name, source)
    copytree(ROOT / "freeze_omni", source / "freeze_omni", ignore=ignore_patterns("__pycache__"))
    build = [sys.executable, *PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", built, source]
    subprocess.run(build, check=True)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment, in which pip has installed the wheel."""
    root = tmp_path_factory.mktemp("fresh")
    (root / "lent").mkdir()
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    found = root / "venv/bin/python"
    site = next((root / "venv/lib").glob("python3*")) / "site-packages"
    (site / "lent.pth").write_text(f"{root / 'lent'}\n")
    for name in {part for package in asked_for(wheel) for part in parts_of(package)}:
        (root / "lent" / name.name).symlink_to(name)
    subprocess.run([found, *PIP, "install", "--no-index", f"{wheel}[{EXTRA}]"], check=True)
    return found


def asked_for(wheel: Path) -> set[str]:
    """The installed packages that the wheel asks for, and those that they ask for."""
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith("METADATA"))
        lines = re.findall(r"^Requires-Dist: (.*)$", file.read(name).decode(), re.MULTILINE)
    waiting, found = [(line, {EXTRA}) for line in lines], set()
    while waiting:
        line, extras = waiting.pop()
        asked = Requirement(line)
        if asked.marker and not any(asked.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        if asked.name not in found:
            found.add(asked.name)
            waiting += [(line, asked.extras) for line in metadata.requires(asked.name) or []]
    return found


def parts_of(package: str) -> set[Path]:
    """What an installed package has in site-packages: folders and single modules, its metadata included."""
    distribution = metadata.distribution(package)
    names = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
    return {Path(str(distribution.locate_file(name))) for name in names}


def without_checkout() -> dict[str, str]:
    """The environment without PYTHONPATH and its like."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(python: Path, *words: object, cwd: Path, **options) -> str:
    """Standard output of the fresh interpreter."""
    options = {"text": True, "capture_output": True, "timeout": 300, "env": without_checkout()} | options
    ended = subprocess.run([python, *words], cwd=cwd, **options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a tiny packed model, and a question, where the README's example looks for them."""
    place = tmp_path_factory.mktemp("place")
    save(toy_system(tmp_path_factory.mktemp("toy") / "llm"), place / "egs/mini/s2s1/exp/pack")
    soundfile.write(place / "question.wav", 0.3 * np.random.default_rng(0).standard_normal(8000), 8000)
    return place


def test_the_wheel_holds_every_file_of_the_package(wheel):
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "freeze_omni").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    assert held == {name for name in ours if "__pycache__" not in name}


def test_the_package_is_the_wheels_and_the_checkout_is_out_of_reach(python, place):
    code = "import freeze_omni, json, sys; print(json.dumps([freeze_omni.__file__, sys.path]))"
    file, path = json.loads(run(python, "-c", code, cwd=place))
    assert Path(file).is_relative_to(python.parents[1])
    assert not [entry for entry in path if entry and Path(entry).resolve().is_relative_to(ROOT)]
    code = "import importlib.util, sys; sys.exit(any(map(importlib.util.find_spec, ('librosa', 'espnet', 'pytest'))))"
    run(python, "-c", code, cwd=place)


def test_the_example_of_the_readme_runs(python, place):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    run(python, "-c", example, cwd=place)
    assert soundfile.info(place / "answer.wav").samplerate == 24000


@pytest.fixture(scope="module")
def served(python, place) -> Iterator[str]:
    """host:port of `freeze-omni serve`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    words = ["--model", "egs/mini/s2s1/exp/pack", "--port", str(port), "--max_sessions", "1"]
    with open(place / "serve.log", "w") as log:
        command = [python.with_name("freeze-omni"), "serve", *words]
        process = subprocess.Popen(command, cwd=place, env=without_checkout(), stderr=log)
        try:
            while not answers(f"http://{address}/health"):
                assert process.poll() is None, (place / "serve.log").read_text()
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return bool(read(url))
    except OSError:
        return False


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def test_it_serves_the_page_with_all_that_belongs_to_it(served):
    for path in (ROOT / "freeze_omni/server/page").iterdir():
        assert read(f"http://{served}/{path.name.replace('index.html', '')}") == path.read_text(encoding="utf-8")


def test_it_answers(python, place, served):
    words = ["-m", "freeze_omni.bin.main", "chat", "--url", f"ws://{served}", "--text", "--output", "both.wav"]
    run(python, *words, cwd=place, input="Hello\n")
    both, _ = soundfile.read(place / "both.wav")
    assert both[:, 1].any()  # the answer's side
