"""Every call of a recipe that a page shows is accepted by that recipe: its options, and those of its local/data.sh."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.recipes.miniature_recipes import EGS
from tests.shell.bash import ROOT, run

PAGES = [*EGS.glob("*/*/README.md"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = sorted(page for page in PAGES if "ablation" not in page.parts)  # tests/recipes/test_ablation.py
MADE_AT_RUN_TIME = shutil.ignore_patterns("data*", "dump*", "exp*", "results", "downloads", "facts", "open", "*.py")


def calls(page: Path) -> list[str]:
    """Lines of code blocks with a call of run.sh or s2s.sh; continued lines are joined."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.M)
    blocks = "\n".join(block for language, block in found if language in ("", "bash"))
    lines = (line for line in blocks.splitlines() if "ablation" not in line)
    return [line for line in lines if re.search(r"(^|[/ ])(?<!tests/)(run|s2s)\.sh( |$)", line)]


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory):
    """A copy of the recipes whose s2s.sh reads its options, prints --local_data_opts, and ends."""
    root = tmp_path_factory.mktemp("toolkit")
    shutil.copytree(EGS, root / "egs", symlinks=True, ignore=lambda *given: MADE_AT_RUN_TIME(*given) - {"data.sh"})
    driver = root / "egs/TEMPLATE/s2s1/s2s.sh"
    options = driver.read_text(encoding="utf-8").split("\ntemplate=")[0]
    driver.write_text(options + f'\n. {ROOT}/utils/parse_options.sh\necho "opts:$PWD:${{local_data_opts}}"\n')
    (root / "egs/mini/s2s1/local/parts.sh").write_text("llm=llm judge=judge\n")
    (root / "tools").mkdir()
    shutil.copy(ROOT / "run.sh", root)
    (root / "tools/install.sh").write_text("#!/bin/sh\n")
    (root / "tools/install.sh").chmod(0o755)
    return root


@pytest.mark.parametrize("page", [page for page in PAGES if calls(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_calls_on_a_page_are_accepted(page, toolkit):
    here = toolkit / page.parent.relative_to(ROOT)
    here = here if (here / "run.sh").exists() else toolkit
    for line in calls(page):
        found = run("bash", "-euc", line, cwd=here, env={**os.environ, "people": "people", "LLM": "llm"})
        assert found.returncode == 0, f"{line}\n{found.stderr}"
        for folder, opts in re.findall(r"^opts:(.*?):(.*)$", found.stdout, re.MULTILINE):
            text = Path(folder, "local/data.sh").read_text(encoding="utf-8")
            text += (ROOT / "utils/prepare_corpus.sh").read_text() if "prepare_corpus.sh" in text else ""
            known = set(re.findall(r"^(\w+)=", text, re.MULTILINE)) | set(
                re.findall(r"^\s+--(\w+)\)", text, re.MULTILINE)
            )
            used = {word[2:] for word in shlex.split(opts) if word.startswith("--") and "=" not in word}
            assert used <= known, f"{line}: local/data.sh has no option {', '.join(used - known)}"


def test_a_false_call_is_noticed(toolkit):
    recipe = toolkit / "egs/an4/asr1"
    assert run("./run.sh", "--judge_model", "x", cwd=recipe).returncode != 0
    assert run("./run.sh", "--train_set", "x", cwd=recipe).returncode == 0
    assert len([line for page in PAGES for line in calls(page)]) > 40
