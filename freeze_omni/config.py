"""YAML to frozen dataclasses, where an unknown key or a wrong type is an error that names the file and the key."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import types
import typing
from pathlib import Path
from typing import Any

import yaml


class ConfigError(ValueError):
    """A configuration that cannot be used: names the file, the key and the mend."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises ConfigError where the file is missing, broken or not a mapping."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(content).__name__}")
    return content


def build[T](cls: type[T], mapping: dict[str, Any] | None, where: str = "configuration") -> T:
    """Build the dataclass `cls` from `mapping`, recursively.

    Args:
        cls: a dataclass; nested dataclass fields take nested mappings.
        mapping: keys are field names; None stands for no keys.
        where: what an error names (a file, then the path of keys).
    Raises:
        ConfigError: an unknown key (with the nearest known one), a missing key or a wrong type.
    """
    mapping = {} if mapping is None else mapping
    if not isinstance(mapping, dict):
        raise ConfigError(f"{where}: expected keys of {cls.__name__}, found {mapping!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{key}'{_nearest(str(key), list(fields))}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in mapping.items()}
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing key '{missing[0]}'")
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
        inner = [arg for arg in args if arg is not type(None)]
        return _first_fit(inner, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin in (list, tuple):
        return _convert_sequence(origin, args, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {value!r}")
        return {key: _convert(args[1], item, f"{where}: {key}") for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _first_fit(hints: list[Any], value: Any, where: str) -> Any:
    error: ConfigError | None = None
    for hint in hints:
        try:
            return _convert(hint, value, where)
        except ConfigError as problem:
            error = error or problem
    assert error is not None
    raise error


def _convert_sequence(origin: type, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: expected a list, found {value!r}")
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(value):
            raise ConfigError(f"{where}: expected {len(args)} values, found {len(value)}")
        pairs = enumerate(zip(args, value, strict=True))
        return tuple(_convert(arg, item, f"{where}[{i}]") for i, (arg, item) in pairs)
    inner = args[0] if args else Any
    return origin(_convert(inner, item, f"{where}[{i}]") for i, item in enumerate(value))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if issubclass(hint, enum.Enum):
        if value not in [member.value for member in hint]:
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(repr(member.value) for member in hint)}")
        return hint(value)
    if hint is float and isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as a string
            return float(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and hint is not bool or not isinstance(value, hint):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value
