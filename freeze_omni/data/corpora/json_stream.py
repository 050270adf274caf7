"""One long array of a JSON file, item by item: WenetSpeech.json has gigabytes, and memory stays flat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")


def stream_array(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """The objects of the array under `key` ("": the file is the array). Raises ValueError: no such JSON, or cut."""
    decoder = json.JSONDecoder()
    with open(path, encoding="utf-8-sig") as file:
        text, at = _find_array(file, path, key)
        while True:
            at = _BETWEEN.match(text, at).end()
            if at < len(text) and text[at] == "]":
                return
            try:
                item, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                more = file.read(max(_BLOCK, len(text) - at))
                if not more:
                    raise ValueError(f"{path}: broken JSON, or the file is cut; fetch it again") from None
                text, at = text[at:] + more, 0
                continue
            yield item
            at = end


def _find_array(file: Any, path: Path, key: str) -> tuple[str, int]:
    text = ""
    while block := file.read(_BLOCK):
        text += block
        found = re.search(rf'"{key}"\s*:\s*\[', text) if key else re.match(r"\s*\[", text)
        if found:
            return text, found.end()
        text = text[-len(key) - 64 :]
    raise ValueError(f"{path}: no array {key} in it; this is not the published file".replace("  ", " "))
