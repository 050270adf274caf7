"""docs/add_a_corpus.md, followed word for word: its commands run, its file is written, its answers come."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.data.corpora.clips import clip
from tests.shell.bash import ROOT

PAGE = (ROOT / "docs/add_a_corpus.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path):
    """The top of a repository in which egs/foo can be made: everything else is ours."""
    top = tmp_path / "clone"
    (top / "egs").mkdir(parents=True)
    for name in ("freeze_omni", "tools", "utils"):
        (top / name).symlink_to(ROOT / name)
    (top / "egs/TEMPLATE").symlink_to(ROOT / "egs/TEMPLATE")
    return top


@pytest.fixture
def foo(tmp_path):
    folder = tmp_path / "foo"
    lines = []
    for i in range(12):
        clip(i % 3 + 2).write(folder / "audio" / f"u{i:02}.wav")
        lines.append(f"u{i:02}\t{'ann' if i % 2 else 'bob'}\t{clip(i % 3 + 2).words.lower()}\n")
    (folder / "texts.tsv").write_text("".join(lines))
    return folder


def follow(clone, foo, stop: str) -> str:
    """Run the blocks up to the one that has `stop` in it, each where the last one left off; returns what they said."""
    said, where = "", clone
    for path, kind, body in BLOCKS:
        if path:
            (clone / path).write_text(body)
        elif kind == "bash":
            script = f"set -euo pipefail\n{body}\npwd >&3"
            read, write = os.pipe()
            run = subprocess.run(
                ["bash", "-c", script.replace(">&3", f">&{write}")],
                cwd=where,
                env={**os.environ, "FOO": str(foo), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                pass_fds=(write,),
            )
            os.close(write)
            said += run.stdout + run.stderr
            assert run.returncode == 0, said[-3000:]
            where = os.read(read, 4096).decode().strip()
            os.close(read)
            if stop in body:
                return said
    raise AssertionError(f"no block has {stop!r} in it")


def test_the_page_up_to_the_check(clone, foo):
    assert "data/train is fine" in follow(clone, foo, "validate_data_dir.sh")
    text = clone / "egs/foo/asr1/data/train/text"
    lines = text.read_text().splitlines()
    lines[1] = lines[1].split()[0]
    text.write_text("\n".join(lines) + "\n")
    command = [ROOT / "utils/validate_data_dir.sh", "--role", "asr", "data/train"]
    run = subprocess.run(command, cwd=clone / "egs/foo/asr1", capture_output=True, text=True)
    shown = next(body for _, kind, body in BLOCKS if kind == "text").strip()
    assert run.returncode == 1 and shown in run.stderr.splitlines()


@pytest.mark.corpora
def test_the_whole_page(clone, foo):
    said = follow(clone, foo, "cat exp/RESULTS.md")
    assert "Speech input, test, 2 utterances" in said and "| chunk4 |" in said
    assert (clone / "egs/foo/asr1/exp/1.1_encoder/valid.loss.ave.pth").exists()
