"""The documents speak of what is there: files of data directories, rates, the example of a streaming part, links."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
import torch

from freeze_omni.data.datadir import FILES
from freeze_omni.rates import Rates
from tests.contract import law, test_streaming
from tests.shell.bash import ROOT

DOCS = ROOT / "docs"
WRITTEN = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])


def section(text: str, role: str) -> str:
    """The section of data_dir.md that names this role in its heading."""
    return next(part for part in text.split("\n## ") if f"--role {role}`" in part.splitlines()[0])


def first_cells(text: str) -> list[str]:
    """What stands as code in the first cell of each row of the tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("role", sorted(FILES))
def test_every_file_of_a_data_directory_is_known_to_the_validator_and_described(role):
    named = first_cells(section((DOCS / "data_dir.md").read_text(encoding="utf-8"), role))
    assert len(named) == len(set(named))
    assert set(named) == set(FILES[role])


def test_the_chunk_arithmetic_is_that_of_the_rates():
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (DOCS / "streaming.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 10
    assert {name: float(value) for name, value in rows} == {name: float(getattr(Rates(), name)) for name, _ in rows}


@pytest.fixture(scope="module")
def example() -> law.Part:
    """The part of streaming.md, made from its code as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "streaming.md").read_text(encoding="utf-8"), re.DOTALL)
    module = types.ModuleType("example")
    for block in blocks:
        exec(compile(block, "docs/streaming.md", "exec", dont_inherit=True), module.__dict__)
    return module.PARTS["running_mean"]()


@pytest.mark.parametrize("check", [name for name in vars(law) if name.startswith("check_")])
def test_the_example_of_a_streaming_part_obeys_the_law(example, check):
    torch.manual_seed(1)
    assert f"`{check}`" in (DOCS / "streaming.md").read_text(encoding="utf-8")
    assert f"law.{check}(" in Path(test_streaming.__file__).read_text(encoding="utf-8")
    getattr(law, check)(example)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    gone = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not gone
