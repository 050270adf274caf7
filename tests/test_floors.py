"""The floors of docs/architecture.md: a module imports only from its own floor or from below."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import freeze_omni

PACKAGE = Path(__file__).parents[1] / "freeze_omni"

# Bottom up; a name is a package or a module of freeze_omni.
FLOORS: dict[str, str] = {
    "ground": "autocast config hub moved provenance quantised rates shapes streaming weights attention",
    "signals and tables": "frontend data",
    "parts": "encoder adapter llm speech_decoder codec duplex listening",
    "system": "system pack publish checkpoint stages dialogues",
    "session": "session",
    "engine": "engine",
    "released": "released",
    "edges": "tasks eval server",
    "client": "client",
    "bin": "bin",
}
FLOOR_OF = {name: number for number, names in enumerate(FLOORS.values()) for name in names.split()}

# Packages of one floor that do not import each other.
APART = ("frontend data", "tasks eval server")
# The client runs on a user's machine, without torch: the only packages that it may import.
CLIENT = {"config", "rates", "data"}
# (package that imports, package that it imports) -> why this is right.
EXCEPTIONS = {("eval", "client"): "duplex evaluation talks to a server as its users do"}

# (module that imports, package that it imports): what is to be moved yet. Empty it; never add to it.
KNOWN_VIOLATIONS: set[tuple[str, str]] = set()


def modules() -> dict[str, Path]:
    """Name below freeze_omni -> file."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }


def imported(path: Path) -> set[str]:
    """Packages of freeze_omni that a file imports, inside functions too; not those for type checkers alone."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            names = [node.module]
            if node.module == "freeze_omni":  # a package, or a public name that stands for its home
                names = [freeze_omni._HOMES.get(one.name, f"freeze_omni.{one.name}") for one in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("freeze_omni.")}
        waiting += ast.iter_child_nodes(node)
    return found


def violations() -> dict[tuple[str, str], str]:
    """(module, package it imports) -> what is wrong with that."""
    found = {}
    for module, path in modules().items():
        home = module.split(".")[0]
        for package in imported(path) - {home}:
            if (home, package) in EXCEPTIONS:
                continue
            if FLOOR_OF[package] > FLOOR_OF[home]:
                found[module, package] = f"{package} is on a higher floor than {home}"
            elif home == "client" and package not in CLIENT:
                found[module, package] = f"client may import {', '.join(sorted(CLIENT))} alone"
            elif any({home, package} <= set(names.split()) for names in APART):
                found[module, package] = f"{home} and {package} do not import each other"
    return found


def test_every_package_has_a_floor():
    assert {module.split(".")[0] for module in modules()} <= set(FLOOR_OF)


def test_modules_import_from_their_own_floor_or_below():
    found = violations()
    new = [
        f"freeze_omni.{module}: {found[module, package]}" for module, package in sorted(set(found) - KNOWN_VIOLATIONS)
    ]
    assert not new, "\n".join(new)


def test_the_client_loads_no_torch():
    """Not even through what it imports: it runs on a user's machine."""
    client = [name for name in modules() if name.split(".")[0] == "client"]
    loaded = [name for name in client if not any(name == module for module, _ in KNOWN_VIOLATIONS)]
    code = f"import importlib, sys; [importlib.import_module('freeze_omni.' + name) for name in {loaded}]"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0, f"one of {loaded} loads torch"
