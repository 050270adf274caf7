"""The documents agree with the code: data directories, rates, the streaming example, links, files, commands."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import tomllib
import types
from pathlib import Path

import pytest
import torch
import yaml

from freeze_omni.bin import main as command
from freeze_omni.data.datadir import FILES
from freeze_omni.rates import Rates
from tests.contract import law, test_streaming
from tests.shell.bash import ROOT

DOCS = ROOT / "docs"
RECIPES = [path for path in (ROOT / "egs").glob("*/*/README.md") if "TEMPLATE" not in path.parts]
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "egs/README")]
WRITTEN = sorted([*DOCS.rglob("*.md"), *RECIPES, *PAGES])
TEMPLATE = ROOT / "egs/TEMPLATE/s2s1"

every_page = pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))


def section(text: str, role: str) -> str:
    """The section of data.md that has this role in its heading."""
    return next(part for part in text.split("\n## ") if f"--role {role}`" in part.splitlines()[0])


def first_cells(text: str) -> list[str]:
    """The code in the first cell of each row of the tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("role", sorted(FILES))
def test_every_file_of_a_data_directory_is_known_to_the_validator_and_described(role):
    named = first_cells(section((DOCS / "data.md").read_text(encoding="utf-8"), role))
    assert len(named) == len(set(named))
    assert set(named) == set(FILES[role])


def test_the_chunk_arithmetic_is_that_of_the_rates():
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (DOCS / "streaming.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 10
    assert {name: float(value) for name, value in rows} == {name: float(getattr(Rates(), name)) for name, _ in rows}


@pytest.fixture(scope="module")
def example() -> law.Part:
    """The part of streaming.md, made from its code."""
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


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text_of(path), flags=re.DOTALL | re.M), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(path):
    gone = []
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)[^)]*\)", text_of(path)):
        if "://" in link:
            continue
        target = path.parent / link if link else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            gone.append(f"{link}#{anchor}")
    assert not gone


def test_every_page_is_in_the_index_and_in_the_menu_of_the_site():
    pages = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\((\w+\.md)", text_of(DOCS / "README.md"))) == pages
    assert set(re.findall(r"- (?:.*: )?docs/(\w+\.md)", text_of(ROOT / "mkdocs.yml"))) - {"README.md"} == pages


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    assert yaml.safe_load(text_of(ROOT / "CITATION.cff"))["version"] == version
    assert f"\n## {version}" in text_of(ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_asks_in_fields_of_their_own(path):
    form = yaml.safe_load(text_of(path))
    assert form.keys() == {"name", "description", "labels", "body"}
    assert len({field["id"] for field in form["body"]}) == len(form["body"]) > 1
    assert all(field["type"] in ("textarea", "input") and field["attributes"]["label"] for field in form["body"])


EXAMPLES = ("egs/foo/", "freeze_omni/adapter/mean.py", "tools/venv")  # of changes, and what set-up makes
FOLDERS = ("freeze_omni", "egs", "docs", "tests", "tools", "utils", "benchmarks")


@every_page
def test_files_exist(path):
    """Files and folders in code, from the root of the repository; on architecture.md also from the package."""
    named = re.findall(r"`([\w.]+/[\w./]*)`", text_of(path))
    homes = [ROOT, ROOT / "freeze_omni"] if path.name in ("architecture.md", "serving.md") else [ROOT]
    heads = {ROOT: FOLDERS, ROOT / "freeze_omni": {one.name for one in (ROOT / "freeze_omni").iterdir()}}
    known = [name for name in named if any(name.split("/")[0] in heads[home] for home in homes)]
    known = [name for name in known if not name.startswith(EXAMPLES) and "/exp/" not in name]
    assert [name for name in known if not any((home / name).exists() for home in homes)] == []
    if path.name == "architecture.md":
        assert len(known) > 60


def commands(text: str) -> list[str]:
    """Command lines of a page, each from the command's name on, with its continued lines joined."""
    text = re.sub(r"\\\n\s*", "", text)
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.M))
    lines = blocks.splitlines() + re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.M))
    return [line.split("  #")[0] for line in lines]


def options(line: str) -> set[str]:
    """The long options of a command line, without those inside quotes."""
    return set(re.findall(r"(?<!\S)--(\w[\w-]*)", re.sub(r'"[^"]*"', "", line)))


@every_page
def test_commands_and_their_options_exist(path, capsys, monkeypatch):
    missing = []
    for line in commands(text_of(path)):
        found = re.search(r"freeze-omni (?![A-Z{])([\w-]+)|(?:python -m )?freeze_omni\.bin\.(\w+)", line)
        if not found:
            continue
        name, module = found.group(1), found.group(2)
        if name:
            if name not in command.COMMANDS:
                missing.append(line)
                continue
            module = command.COMMANDS[name][0]
        elif not importlib.util.find_spec(f"freeze_omni.bin.{module}"):
            missing.append(line)
            continue
        used = options(line[found.end() :])
        if used and module != "train":  # its help takes ESPnet, which takes ten seconds to import
            known = options_of(module, capsys, monkeypatch)
            missing += [f"{line}: --{one}" for one in used if one not in known]
    assert not missing


def options_of(module: str, capsys, monkeypatch) -> set[str]:
    """The options in the help of a program in freeze_omni.bin."""
    monkeypatch.setattr("sys.argv", [module, "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(f"freeze_omni.bin.{module}").main()
    return set(re.findall(r"--(\w[\w-]*)", capsys.readouterr().out))


@every_page
def test_options_of_recipes_exist(path):
    """Options of run.sh and s2s.sh: the driver's, and those that a recipe adds."""
    scripts = [TEMPLATE / "s2s.sh", *(ROOT / "egs").glob("*/*/run.sh")]
    known = {"help", "config", *re.findall(r" = --(\w+) \]", text_of(ROOT / "tests/run.sh"))}.union(
        *(re.findall(r"^(?:local )?(\w+)=", text_of(one), re.MULTILINE) for one in scripts)
    )
    lines = [line for line in commands(text_of(path)) if re.search(r"(?:^|/)(?:run|s2s)\.sh", line)]
    assert [line for line in lines if not options(line) <= known] == []


def words_of(*patterns: str) -> set[str]:
    """All words of the source files below the root that match."""
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file() and path.suffix != ".md"}
    return {word for path in paths for word in re.findall(r"[A-Za-z_][\w-]*", path.read_text("utf-8", "replace"))}


@pytest.fixture(scope="module")
def sources() -> set[str]:
    """What the project's own files and ESPnet's trainer have words for."""
    ours = (
        "freeze_omni/**/*",
        "egs/**/*.*",
        "utils/*",
        "tools/*.*",
        "tools/installers/*",
        "benchmarks/**/*",
        "tests/**/*.*",
        "*.py",
        ".ci/run",
    )
    espnet = Path(importlib.util.find_spec("espnet2").submodule_search_locations[0])
    theirs = "\n".join(text_of(path) for path in [*espnet.glob("tasks/abs_task.py"), *espnet.glob("train/*.py")])
    return words_of(*ours) | set(re.findall(r"[A-Za-z_][\w-]*", theirs))


TORCHRUN = {"nnodes", "nproc_per_node", "rdzv_backend", "rdzv_endpoint"}
SCORERS = {
    "evaluator",
    "eval_dir",
    "src_file",
    "gt",
    "log_dir",
    "score_config",
    "output_file",
    "pred",
    "io",
}  # of suites
MADE_UP = {
    "encoder_small",
    "exp_mine",
    "flite_awb",
    "train_m",
    "codec_enc_",
    "seg_lens",
}  # names in examples, and in others' archives
OTHERS = {"asr_args", "modules_to_save", *TORCHRUN, *SCORERS, *MADE_UP}
FOREIGN = re.compile(
    r"\bDIR\b(?!.*freeze-omni)(?!.*run\.sh)|^(python )?(evaluate|get_timing|api_judge)\.py|^huggingface-cli"
)


def own_lines(path: Path) -> list[str]:
    """Code of a page but for commands of other projects (DIR is where they were put), and a table's ESPnet column."""
    text = re.sub(
        r"^\| ESPnet \|(?:.*\n\|)*.*",
        lambda table: re.sub(r"^\|[^|]*", "", table[0], flags=re.M),
        text_of(path),
        flags=re.M,
    )
    return [line for line in commands(text) if not FOREIGN.search(line)]


@every_page
def test_options_are_known_somewhere(path, sources):
    """Every --option, also in prose and inside quotes: of a command, a recipe, a tool or ESPnet's trainer."""
    named = {word for line in own_lines(path) for word in re.findall(r"(?<![\w-])--([a-z]\w*)", line)}
    assert sorted(word for word in named - OTHERS if not {word, f"--{word}"} & sources) == []


@every_page
def test_names_are_those_of_the_code(path, sources):
    """A name with an underscore, in code: a variable, key, setting or field that the project or its trainer has."""
    named = {
        word for line in own_lines(path) for word in re.findall(r"(?<![\w/<.-])[a-z]+_[a-z_0-9]+(?![\w/>*-])", line)
    }
    assert sorted(word for word in named - OTHERS if not {word, re.sub(r"_\d+$", "", word)} & sources) == []


class Parsed(Exception):
    """A command line was understood; nothing is run."""


@every_page
def test_command_lines_are_understood(path, monkeypatch):
    """`freeze-omni` lines of code blocks, with their values: as its parser takes them."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(*given, **more):
        raise Parsed(parse(*given, **more))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    text = re.sub(r"\\\n\s*", "", text_of(path))
    blocks = "\n".join(re.findall(r"^```(?:bash)?\n(.*?)^```", text, re.DOTALL | re.M))
    for line in re.findall(r"^freeze-omni ([a-z][\w-]* .*)$", blocks, re.MULTILINE):
        if re.search(r"[(|]|\.\.\.| NAME ", line):  # a synopsis
            continue
        with pytest.raises(Parsed):
            command.main(shlex.split(line, comments=True))


@every_page
def test_modules_exist(path):
    names = re.findall(r"python -m ([\w.]+\w)(?![<{\w.])", text_of(path))
    assert [name for name in names if not importlib.util.find_spec(name)] == []


def test_the_settings_on_a_page_are_the_defaults():
    """Every key and value of the YAML blocks that show all settings of something."""
    from freeze_omni.config import as_mapping
    from freeze_omni.dialogues.plan import RejectionConfig
    from freeze_omni.server.config import ServerConfig

    shown = {}
    for page in ("serving.md", "data.md"):
        for block in re.findall(r"^```yaml\n(.*?)^```", text_of(DOCS / page), re.DOTALL | re.M):
            shown |= yaml.safe_load(block)
    server = as_mapping(ServerConfig(Path("model")))
    assert shown["limits"] == server["limits"]
    assert shown["serving"].items() <= server["serving"].items()
    assert shown["rejection"] == as_mapping(RejectionConfig())


def test_the_floors_are_those_that_are_tested():
    from tests.test_floors import FLOORS

    listed = re.findall(r"^\d+\. \*\*([\w ]+)\*\*: (.*)$", text_of(DOCS / "architecture.md"), re.MULTILINE)
    assert [name for name, _ in reversed(listed)] == list(FLOORS)
    for name, text in listed:
        packages = FLOORS[name].split()
        assert name in packages or all(f"`{package}`" in text for package in packages), name


def test_the_walk_of_a_chunk_is_short():
    walk = text_of(DOCS / "architecture.md").split("## The walk of a chunk")[1].split("\n## ")[0]
    assert 1 < len(re.findall(r"^\d+\. `", walk, re.MULTILINE)) <= 8
