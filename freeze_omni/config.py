"""YAML to frozen dataclasses, where an unknown key or a wrong type is an error that names the file and the key."""

import dataclasses
import difflib
import enum
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

_QUOTED = 200  # characters


class ConfigError(ValueError):
    """A configuration that cannot be used: names the file, the key and the fix."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error: the first of the two would be lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"the key '{key.value}' comes twice", key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises ConfigError if the file is missing, broken or not a mapping."""
    try:
        content = yaml.load(Path(path).read_bytes().decode("utf-8-sig"), _Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a file that can be read") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {one_line(error.problem)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that there is not, no UTF-8, nested too deep
        raise ConfigError(f"{path}: not valid YAML: {one_line(error)}") from None
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(content).__name__}")
    return content or {}


def one_line(text: object) -> str:
    """What an error quotes, in one line of a length that can be read."""
    text = " ".join(str(text).split())
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]} ..."


def build[T](cls: type[T], mapping: dict[str, Any] | None, where: str = "configuration") -> T:
    """Build the dataclass `cls` from `mapping`, recursively: nested dataclass fields take nested mappings.

    mapping: keys are field names; None stands for no keys. where: what an error names (a file, then the path of keys).
    Raises ConfigError: an unknown key (with the nearest known one), a missing key or a wrong type.
    """
    mapping = {} if mapping is None else mapping
    if not isinstance(mapping, dict):
        raise ConfigError(f"{where}: expected keys of {cls.__name__}, found {one_line(repr(mapping))}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{one_line(key)}'{_nearest(str(key), list(fields))}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in mapping.items()}
    for name, field in fields.items():
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key '{name}'")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def as_mapping(config: Any) -> dict[str, Any]:
    """The plain mapping (tuples as lists) that `build` turns back into an equal dataclass."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _first_fit([arg for arg in args if arg is not type(None)], value, where)
    if origin is typing.Literal:
        return _one_of(args, value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin in (list, tuple):
        return _convert_sequence(origin, args, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {one_line(repr(value))}")
        return {key: _convert(args[1], item, f"{where}: {one_line(key)}") for key, item in value.items()}
    if issubclass(hint, enum.Enum):
        return hint(_one_of([member.value for member in hint], value, where))
    return _convert_scalar(hint, value, where)


def _one_of(known: Sequence[Any], value: Any, where: str) -> Any:
    if value not in known:
        raise ConfigError(f"{where}: {one_line(repr(value))} is not one of {', '.join(map(repr, known))}")
    return value


def _first_fit(hints: list[Any], value: Any, where: str) -> Any:
    errors: list[ConfigError] = []
    for hint in hints:
        try:
            return _convert(hint, value, where)
        except ConfigError as problem:
            errors.append(problem)
    raise errors[0]


def _convert_sequence(origin: type, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: expected a list, found {one_line(repr(value))}")
    hints = [args[0] if args else Any] * len(value)
    if origin is tuple and args and args[-1] is not Ellipsis:
        hints = list(args)
    if len(hints) != len(value):
        raise ConfigError(f"{where}: expected {len(hints)} values, found {len(value)}")
    pairs = enumerate(zip(hints, value, strict=True))
    return origin(_convert(hint, item, f"{where}[{i}]") for i, (hint, item) in pairs)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:  # YAML 1.1 reads 1e-4 as a string
            return float(value)
        except (ValueError, OverflowError):
            pass
    if isinstance(value, bool) and hint is not bool or not isinstance(value, hint):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {one_line(repr(value))}")
    return value
