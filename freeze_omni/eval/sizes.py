"""How large a packed model is: parameters of each part, from the headers of its safetensors files."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any


def pack_sizes(folder: str | Path) -> dict[str, Any]:
    """Parameters by part (the first word of a tensor's name), in all, and megabytes on disk."""
    parts: dict[str, int] = {}
    size = 0
    for path in sorted(Path(folder).glob("*.safetensors")):
        size += path.stat().st_size
        for name, shape in tensor_shapes(path).items():
            part = name.split(".")[0]
            parts[part] = parts.get(part, 0) + math.prod(shape)
    return {"parameters": parts, "total": sum(parts.values()), "megabytes": round(size / 1e6, 1)}


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file, without reading its weights. Raises ValueError if it is none."""
    with open(path, "rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
        except (struct.error, ValueError) as error:
            raise ValueError(f"{path}: no safetensors file ({error}); pack the model again") from None
    return {key: tuple(entry["shape"]) for key, entry in header.items() if key != "__metadata__"}
