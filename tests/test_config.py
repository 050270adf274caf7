"""Configurations: what YAML may say, and errors that name the file, the key and the fix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from freeze_omni.config import ConfigError, as_mapping, build, read_yaml


@dataclass(frozen=True)
class Inner:
    size: int = 4
    rates: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 0.5)


@dataclass(frozen=True)
class Outer:
    name: str
    lr: float = 0.1
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    table: dict[str, int] = field(default_factory=dict)
    on: bool = False

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError("lr must be above 0")


def test_nested_mappings_become_dataclasses_and_back():
    mapping = {
        "name": "x",
        "lr": 1,
        "inner": {"size": 8, "rates": [3, 4, 5], "pair": [2, 1]},
        "maybe": {},
        "table": {"k": 1},
    }
    config = build(Outer, mapping)
    assert config.inner == Inner(8, (3, 4, 5), (2, 1.0)) and config.maybe == Inner()
    assert isinstance(config.lr, float)
    assert build(Outer, as_mapping(config)) == config
    assert as_mapping(config)["inner"]["rates"] == [3, 4, 5]


def test_exponents_without_a_point_are_numbers():
    assert build(Outer, {"name": "x", "lr": "1e-4"}).lr == 1e-4


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "x", "iner": {}}, "f.yaml: unknown key 'iner'; did you mean 'inner'"),
        ({"name": "x", "inner": {"sise": 1}}, "f.yaml: inner: unknown key 'sise'"),
        ({}, "f.yaml: missing key 'name'"),
        ({"name": 3}, "f.yaml: name: expected str, found 3"),
        ({"name": "x", "kind": "c"}, "f.yaml: kind: 'c' is not one of 'a', 'b'"),
        ({"name": "x", "inner": {"size": True}}, "inner: size: expected int, found True"),
        ({"name": "x", "inner": {"pair": [1]}}, "inner: pair: expected 2 values, found 1"),
        ({"name": "x", "inner": {"rates": 3}}, "inner: rates: expected a list"),
        ({"name": "x", "table": {"k": "v"}}, "table: k: expected int"),
        ({"name": "x", "lr": 0}, "f.yaml: lr must be above 0"),
        ({"name": "x", "on": 1}, "on: expected bool, found 1"),
        ([], "expected keys of Outer"),
    ],
)
def test_errors_name_file_key_and_fix(mapping, message):
    with pytest.raises(ConfigError) as error:
        build(Outer, mapping, where="f.yaml")
    assert message in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match="no such configuration"):
        read_yaml(path)
    path.write_text("a: [1\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(path)
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="found a list"):
        read_yaml(path)
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}
