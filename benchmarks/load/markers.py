"""Marker words, which show whether one user gets what another has said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

SHORTEST = 4
WORDS = ("transcript", "text", "delta")
"""Fields of the protocol's events that hold words; `delta` also holds sound, which is left out."""


def words_of(events: Sequence[dict[str, Any]]) -> str:
    """All words that a client got by these events: transcripts, answers, items; lower case.

    Pieces of one kind are put together, as a word may be cut between two.
    """
    pieces: dict[str, str] = {}
    for number, event in enumerate(events):
        kind = event["type"]
        for name, value in _texts(event):
            key = kind if name == "delta" else f"{kind} {number} {len(pieces)}"
            pieces[key] = pieces.get(key, "") + value
    return "\n".join(pieces.values()).casefold()


def _texts(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, list):
        for part in content:
            yield from _texts(part)
    elif isinstance(content, dict) and content.get("type") != "response.output_audio.delta":
        for name, value in content.items():
            if isinstance(value, str) and name in WORDS:
                yield name, value
            else:
                yield from _texts(value)


def choose(texts: Sequence[str], told: Sequence[str]) -> list[str]:
    """A marker for each user: a word of its question that no other has in its own, nor got when alone.

    texts: the questions. told: `words_of` all that each user got in a session alone. A word that was heard
    (the user got it itself) goes before others, then the longest. Raises ValueError if a user has none.
    """
    markers = []
    for number, text in enumerate(texts):
        others = [f"{texts[other]} {told[other]}".casefold() for other in range(len(texts)) if other != number]
        words = [word for word in re.findall(r"[^\W\d_]+", text.casefold()) if len(word) >= SHORTEST]
        own = [word for word in words if not any(word in other for other in others)]
        if not own:
            raise ValueError(f"'{text}' has no word that the other questions lack: take other questions")
        markers.append(max(own, key=lambda word: (word in told[number], len(word))))
    return markers


def foreign(told: str, markers: Sequence[str], own: int) -> list[str]:
    """Markers of others than user `own` in what it got."""
    return [marker for number, marker in enumerate(markers) if number != own and marker in told]
