"""The items of a conversation as the protocol shows them, and the same as exchanges in text."""

from __future__ import annotations

import secrets
from typing import Any


def new_id(prefix: str) -> str:
    """A fresh identifier: `item_...`, `resp_...`, `event_...`, `sess_...`."""
    return f"{prefix}_{secrets.token_hex(10)}"


def message(role: str, kind: str, status: str = "completed", **content: Any) -> dict[str, Any]:
    """A message item with one content part."""
    return {
        "id": new_id("item"),
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": [{"type": kind, **content}],
    }


def item_events(previous: str | None, item: dict[str, Any], *steps: str) -> list[dict[str, Any]]:
    """Events on an item after `previous`: it was `added`, it is `done`."""
    return [{"type": f"conversation.item.{step}", "previous_item_id": previous, "item": item} for step in steps]


def words(item: dict[str, Any]) -> str:
    """What an item says: its texts and transcripts."""
    parts = (part.get("text") or part.get("transcript") or "" for part in item["content"])
    return " ".join(part.strip() for part in parts if part.strip())


class Items:
    """In order; with more than `most` the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: dict[str, dict[str, Any]] = {}

    def add(self, item: dict[str, Any]) -> str | None:
        """Add an item at the end; the id of the one before it."""
        before = next(reversed(self._items), None)
        self._items[item["id"]] = item
        while len(self._items) > self._most:
            del self._items[next(iter(self._items))]
        return before

    def get(self, key: Any) -> dict[str, Any] | None:
        return self._items.get(key) if isinstance(key, str) else None

    def before(self, key: str) -> str | None:
        """The id of the item before `key`."""
        keys = list(self._items)
        place = keys.index(key) if key in self._items else 0
        return keys[place - 1] if place else None

    def exchanges(self) -> list[tuple[str, str]]:
        """(user text, answer) pairs, from which a lost session is rebuilt."""
        pairs: list[tuple[str, str]] = []
        asked: list[str] = []
        for item in self._items.values():
            said = words(item)
            if item["role"] == "user":
                asked.append(said)
            elif item["role"] == "assistant":
                pairs.append((" ".join(asked), said))
                asked = []
        return [(user, answer) for user, answer in pairs if user or answer]
