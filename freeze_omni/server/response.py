"""One response of the protocol: the events that report an answer while it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freeze_omni.server.items import message, new_id
from freeze_omni.server.wire import Encoder

Event = dict[str, Any]


@dataclass
class Response:
    """number: of the answer in its session. done: all its events are sent."""

    number: int
    conversation: str
    encoder: Encoder
    spoken: bool
    max_output_tokens: int | str
    metadata: Any = None
    id: str = field(default_factory=lambda: new_id("resp"))
    text: str = ""
    done: bool = False

    def __post_init__(self) -> None:
        kind = "output_audio" if self.spoken else "output_text"
        key = "transcript" if self.spoken else "text"
        self.item = message("assistant", kind, status="in_progress", **{key: ""})

    def begin(self, previous: str | None) -> list[Event]:
        return [
            {"type": "response.created", "response": self.describe("in_progress")},
            {"type": "response.output_item.added", **self._place(item=False), "item": {**self.item, "content": []}},
            {"type": "conversation.item.added", "previous_item_id": previous, "item": {**self.item, "content": []}},
            {"type": "response.content_part.added", **self._place(), "part": self._part("")},
        ]

    def write(self, delta: str) -> list[Event]:
        self.text += delta
        kind = "response.output_audio_transcript.delta" if self.spoken else "response.output_text.delta"
        return [{"type": kind, **self._place(), "delta": delta}]

    def speak(self, samples: np.ndarray) -> list[Event]:
        """samples (S,) float32 at the model's output rate."""
        return self._audio(self.encoder(samples))

    def end(self, kept: str, reason: str, cancelled_by: str = "turn_detected") -> list[Event]:
        """kept: what the conversation has of the answer. reason: as of `AnswerKept`, or `failed`."""
        self.done = True
        finished = reason in ("done", "length")
        self.item["status"] = "completed" if reason == "done" else "incomplete"
        self.item["content"][0]["transcript" if self.spoken else "text"] = self.text if finished else kept
        events: list[Event] = []
        if self.spoken:
            events += self._audio(self.encoder.end()) if finished else []
            events.append({"type": "response.output_audio.done", **self._place()})
            events.append({"type": "response.output_audio_transcript.done", **self._place(), "transcript": self.text})
        else:
            events.append({"type": "response.output_text.done", **self._place(), "text": self.text})
        status, details = self._status(reason, cancelled_by)
        return [
            *events,
            {"type": "response.content_part.done", **self._place(), "part": self._part(self.text)},
            {"type": "response.output_item.done", **self._place(item=False), "item": self.item},
            {"type": "response.done", "response": self.describe(status, details)},
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
            "usage": None,
        }

    @staticmethod
    def _status(reason: str, cancelled_by: str) -> tuple[str, dict[str, Any] | None]:
        if reason == "length":
            return "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}
        if reason == "interrupted":
            return "cancelled", {"type": "cancelled", "reason": cancelled_by}
        if reason == "failed":
            return "failed", {"type": "failed", "error": {"type": "server_error", "code": "worker_lost"}}
        return "completed", None

    def _audio(self, delta: str) -> list[Event]:
        return [{"type": "response.output_audio.delta", **self._place(), "delta": delta}] if delta else []

    def _part(self, said: str) -> dict[str, Any]:
        return {"type": "audio", "transcript": said} if self.spoken else {"type": "text", "text": said}

    def _place(self, item: bool = True) -> dict[str, Any]:
        place: dict[str, Any] = {"response_id": self.id, "output_index": 0}
        return {**place, "item_id": self.item["id"], "content_index": 0} if item else place
