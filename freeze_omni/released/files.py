"""The files of the published layout, read without trust: no code is run, no size is believed.

A `final.pt` is a pickle. It is mapped, not read, and only tensors are taken out of it; every shape is held against
the configuration before anything is computed from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST_TEXT_BYTES = 16_000_000  # of a configuration or statistics file


class ReleasedError(ValueError):
    """A folder or file that is not of the published layout: names it and what is wrong."""


def read_text(path: Path) -> str:
    """A small text file. Raises ReleasedError if it is missing, too large or no UTF-8 text."""
    try:
        if path.stat().st_size > MOST_TEXT_BYTES:
            raise ReleasedError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are too many for such a file")
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ReleasedError(f"{path}: no such file; give a folder of the published layout") from None
    except UnicodeDecodeError:
        raise ReleasedError(f"{path}: not a text file") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ReleasedError."""
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ReleasedError(f"{path}: not valid JSON: {error}") from None


def read_checkpoint(path: Path) -> Any:
    """Tensors and plain containers of a `final.pt`, still in it. Raises ReleasedError: missing, cut, foreign, code."""
    if not path.is_file():
        raise ReleasedError(f"{path}: no such file; give a folder of the published layout")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a hostile file may raise anything
        reason = str(error).strip().partition("\n")[0][:200] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise ReleasedError(f"{path}: refused, it holds other things than tensors ({reason})") from None
        raise ReleasedError(f"{path}: truncated, or no checkpoint of torch 1.6 or later ({reason})") from None


def state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The content as a state dict of dense tensors. Raises ReleasedError for anything else."""
    if not isinstance(content, Mapping) or not content:
        raise ReleasedError(f"{path}: holds no state dict")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ReleasedError(f"{path}: holds no state dict ({str(name)[:80]!r} is no tensor)")
        if tensor.layout is not torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise ReleasedError(f"{path}: {name} is a tensor of a kind that no model here has ({tensor.dtype})")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ReleasedError(f"{path}: {name} claims more values than the file holds for it")
    return dict(content)


def read_tensors(path: Path, group: str | None = None) -> dict[str, Tensor]:
    """The state dict that a `final.pt` holds, as it is or under the key `group`. Raises ReleasedError."""
    content = read_checkpoint(path)
    return state_dict(content.get(group, content) if isinstance(content, dict) else content, path)


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Errors about the content of a file become ReleasedErrors that name it."""
    try:
        yield
    except KeyError as error:
        raise ReleasedError(f"{path}: key {error} is missing") from None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise ReleasedError(f"{where}{error}") from None


@contextmanager
def shapes_only() -> Iterator[None]:
    """Modules built inside have shapes and no memory. Raises ValueError for sizes that no tensor can have."""
    try:
        with torch.device("meta"):
            yield
    except (OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(f"its configuration has impossible sizes ({str(error).partition('\n')[0][:120]})") from None


def check_shapes(theirs: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], said_by: str) -> None:
    """Raises ValueError unless exactly these tensors are there, each as large as the configuration says."""
    if missing := sorted(set(shapes) - set(theirs)):
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    if unknown := sorted(set(theirs) - set(shapes)):
        raise ValueError(f"{len(unknown)} tensors have no place in the model, the first is {unknown[0]}")
    for name, shape in shapes.items():
        if tuple(theirs[name].shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(theirs[name].shape)}, {said_by} makes it {shape}")


def check_fixed(options: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raises KeyError for an option that is missing, ValueError for another value than the published one."""
    for key, value in fixed.items():
        if options[key] != value:
            raise ValueError(f"{key} is {options[key]!r}, only {value!r} is known")


def taken(tensor: Tensor) -> Tensor:
    """A tensor as a model of ours holds it: integers unchanged, others as float32, in its own memory."""
    if tensor.is_floating_point():
        tensor = tensor.float()
    tensor = tensor.detach().contiguous()
    own = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if own else tensor.clone()
