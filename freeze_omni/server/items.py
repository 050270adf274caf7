"""The items of a conversation as the protocol shows them, and the user's turn before it is one."""

from __future__ import annotations

import secrets
from typing import Any

Event = dict[str, Any]


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
    """In order; with more than `most`, or more than `most_chars` of words, the oldest are forgotten."""

    def __init__(self, most: int, most_chars: int) -> None:
        self._most, self._most_chars = most, most_chars
        self._items: dict[str, dict[str, Any]] = {}

    def add(self, item: dict[str, Any]) -> str | None:
        """Add an item at the end; the id of the one before it."""
        before = next(reversed(self._items), None)
        self._items[item["id"]] = item
        chars = sum(len(words(one)) for one in self._items.values())
        while len(self._items) > self._most or chars > self._most_chars and len(self._items) > 1:
            chars -= len(words(self._items.pop(next(iter(self._items)))))
        return before

    def remove(self, key: str) -> None:
        """Forget an item, if it is not forgotten yet; its id may be used again."""
        self._items.pop(key, None)

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
            if item["role"] == "user":
                asked.append(words(item))
            elif item["role"] == "assistant":
                pairs.append((" ".join(asked), words(item)))
                asked = []
        return [pair for pair in pairs if any(pair)]


class InputBuffer:
    """The user's turn as the protocol reports it: speech starts and stops, words come, the turn is committed.

    Speech during playback is reported only once the state head classifies it as a turn: clients stop the playback at
    `speech_started`, and a backchannel must not. uncommitted_s: audio that has come for the open turn.
    """

    def __init__(self, items: Items) -> None:
        self._items = items
        self.forget()

    def gate(self, is_open: bool, time_ms: int, held: bool) -> list[Event]:
        """The gate has opened or closed; held: report it only after `release`."""
        kind, at = ("started", "audio_start_ms") if is_open else ("stopped", "audio_end_ms")
        event = {"type": f"input_audio_buffer.speech_{kind}", at: time_ms, "item_id": self._turn["id"]}
        if held or self._held:
            self._held.append(event)
            return []
        return [event]

    def release(self) -> list[Event]:
        held, self._held = self._held, []
        return held

    def transcript(self, text: str, final: bool, answered: bool, shown: bool) -> list[Event]:
        """New words; final: the turn is over. shown: the client wants transcripts."""
        part = self._turn["content"][0]
        part["transcript"] += text
        place = {"item_id": self._turn["id"], "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        events = [{"type": f"{kind}.delta", **place, "delta": text}] if text and shown else []
        if not final:
            return events
        if answered:
            events += self.release() + (self.commit() if not self._committed else [])
        if shown and (answered or part["transcript"]):
            usage = {"type": "duration", "seconds": round(self.uncommitted_s, 3)}
            transcript = part["transcript"].strip()
            events.append({"type": f"{kind}.completed", **place, "transcript": transcript, "usage": usage})
        self.forget()
        return events

    def commit(self) -> list[Event]:
        """The turn becomes an item of the conversation. Its words come later, as with OpenAI: LiveKit adds them up."""
        previous = self._items.add(self._turn)
        self._committed, self.uncommitted_s = True, 0.0
        committed = {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": self._turn["id"]}
        wordless = {**self._turn, "content": [{"type": "input_audio", "transcript": None}]}
        return [committed, *item_events(previous, wordless, "added", "done")]

    def forget(self) -> None:
        self._turn = message("user", "input_audio", transcript="")
        self._held: list[Event] = []
        self._committed, self.uncommitted_s = False, 0.0
