"""Configurations: what YAML may say, and errors that name the file, the key and the fix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from freeze_omni.config import ConfigError, as_mapping, build, read_yaml
from tests.generate import damaged


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


def test_damaged_yaml_is_a_configuration_or_one_line(memory_path):
    """2,000 damaged files: a value of the right type, or an error that names the file."""
    whole = [
        "name: x\nlr: 1e-4\ninner: {size: 8, rates: [3, 4, 5], pair: [2, 1]}\nmaybe:\ntable:\n  k: 1\n  l: 2\n",
        'inner: &b {size: 3}\nmaybe: *b\nname: "2026-01-01"\nkind: b\n',
        "name: |\n  text\n  more\n# note\ninner:\n  rates:\n  - 1\n  - 2\n",
    ]
    path, read = memory_path / "c.yaml", 0
    for content in damaged(whole):
        path.write_bytes(content)
        try:
            config = build(Outer, read_yaml(path), str(path))
        except ConfigError as error:
            assert str(path) in str(error) and "\n" not in str(error), f"{content!r}: {error}"
            assert len(str(error)) < 600, f"{content!r}: {error}"
        else:
            read += 1
            assert build(Outer, as_mapping(config)) == config or "nan" in str(config)
    assert read > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr: 1\nname: x\nlr: 2\n", "c.yaml:3: not valid YAML: the key 'lr' comes twice"),
        (b"a: {b: 1, b: 2}\n", "the key 'b' comes twice"),
        (b"a: 2026-99-99\n", "not valid YAML: month must be in 1..12"),
        (b"a: \xff\n", "not valid YAML: 'utf-8' codec"),
        (b"[" * 5000, "not valid YAML"),
        (b"a: [1\nb: 2\n", "c.yaml:2: not valid YAML"),
    ],
)
def test_yaml_that_would_lose_or_break_something(content, message, tmp_path):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        read_yaml(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)


def test_yaml_from_windows_is_read(tmp_path):
    (tmp_path / "c.yaml").write_bytes("\ufeffname: x\r\nlr: 2\r\n".encode())
    assert read_yaml(tmp_path / "c.yaml") == {"name": "x", "lr": 2}
