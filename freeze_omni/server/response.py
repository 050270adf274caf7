"""One response of the protocol: the events that report an answer while it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freeze_omni.server.items import Event, item_events, message, new_id
from freeze_omni.server.wire import Encoder

WORKER_LOST = {
    "type": "server_error",
    "code": "worker_lost",
    "message": "The worker of this session was lost; the dialogue goes on from its text.",
}


def usage(read: int = 0, cached: int = 0, wrote: int = 0, spoke: int = 0, by_voice: bool = False) -> dict[str, Any]:
    """The protocol's count of tokens; by_voice: those that were not cached were heard.

    read: positions of the LLM up to the answer, of which `cached` were read before this turn. wrote: its tokens of the
    answer. spoke: speech tokens.
    """
    heard = read - cached if by_voice else 0
    cached_details = {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0}
    inputs = {"text_tokens": read - heard, "audio_tokens": heard, "image_tokens": 0}
    return {
        "total_tokens": read + wrote + spoke,
        "input_tokens": read,
        "output_tokens": wrote + spoke,
        "input_token_details": {**inputs, "cached_tokens": cached, "cached_tokens_details": cached_details},
        "output_token_details": {"text_tokens": wrote, "audio_tokens": spoke},
    }


@dataclass
class Response:
    """number: of the answer in its session. by_voice: it answers what was said aloud. done: all its events are sent."""

    number: int
    conversation: str
    encoder: Encoder
    spoken: bool
    max_output_tokens: int | str
    metadata: Any = None
    by_voice: bool = False
    usage: dict[str, Any] = field(default_factory=usage)
    id: str = field(default_factory=lambda: new_id("resp"))
    text: str = ""
    done: bool = False

    def __post_init__(self) -> None:
        self._key, kind = ("transcript", "output_audio") if self.spoken else ("text", "output_text")
        self.item = message("assistant", kind, status="in_progress", **{self._key: ""})

    def begin(self, previous: str | None) -> list[Event]:
        """previous: id of the item before."""
        empty = {**self.item, "content": []}
        return [
            {"type": "response.created", "response": self.describe("in_progress")},
            self._event("output_item.added", whole=True, item=empty),
            *item_events(previous, empty, "added"),
            self._event("content_part.added", part=self._part("")),
        ]

    def write(self, delta: str) -> list[Event]:
        self.text += delta
        return [self._event("output_audio_transcript.delta" if self.spoken else "output_text.delta", delta=delta)]

    def speak(self, samples: np.ndarray) -> list[Event]:
        """samples (S,) float32 at the model's output rate."""
        return self._audio(self.encoder(samples))

    def end(self, kept: str, reason: str, cancelled_by: str = "turn_detected") -> list[Event]:
        """kept: what the conversation has of the answer. reason: as of `AnswerKept`, or `failed`."""
        self.done = True
        finished = reason in ("done", "length")
        self.item["status"] = "completed" if reason == "done" else "incomplete"
        self.item["content"][0][self._key] = self.text if finished else kept
        if self.spoken:
            events = self._audio(self.encoder.end()) if finished else []
            events.append(self._event("output_audio.done"))
            events.append(self._event("output_audio_transcript.done", transcript=self.text))
        else:
            events = [self._event("output_text.done", text=self.text)]
        details = {
            "length": {"type": "incomplete", "reason": "max_output_tokens"},
            "interrupted": {"type": "cancelled", "reason": cancelled_by},
            "failed": {"type": "failed", "error": dict(WORKER_LOST)},
        }.get(reason)
        return [
            *events,
            self._event("content_part.done", part=self._part(self.text)),
            self._event("output_item.done", whole=True, item=self.item),
            {"type": "response.done", "response": self.describe(details["type"] if details else "completed", details)},
        ]

    def describe(self, status: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "conversation_id": self.conversation,
            "status": status,
            "status_details": details,
            "output": [self.item] if self.done else [],
            "output_modalities": ["audio"] if self.spoken else ["text"],
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata,
            "usage": self.usage if self.done else None,
        }

    def _audio(self, delta: str) -> list[Event]:
        return [self._event("output_audio.delta", delta=delta)] if delta else []

    def _part(self, said: str) -> dict[str, Any]:
        return {"type": "audio" if self.spoken else "text", self._key: said}

    def _event(self, kind: str, whole: bool = False, **content: Any) -> Event:
        """whole: of the item as a whole, not of its content part."""
        part = {} if whole else {"item_id": self.item["id"], "content_index": 0}
        return {"type": f"response.{kind}", "response_id": self.id, "output_index": 0, **part, **content}
