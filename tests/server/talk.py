"""The server's side of the protocol without a socket or a model."""

from __future__ import annotations

import json

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from freeze_omni.rates import Rates
from freeze_omni.server.config import Limits
from freeze_omni.server.protocol import RealtimeProtocol
from freeze_omni.server.wire import parse

OPENAI = TypeAdapter(RealtimeServerEvent)
# of WebSockets; sent to those who ask for them
OURS = ("freeze_omni.state", "freeze_omni.paused", "freeze_omni.resumed", "output_audio_buffer.cleared")


class Talk:
    """`send` and `work` give the new events for the client; `told` is what was put into the session at last.

    Every event must be one of the openai package's types.
    """

    def __init__(self, **limits):
        self.protocol = RealtimeProtocol("toy", "You are helpful.", 512, Rates(), Limits(**limits))
        self.seen: list[dict] = []
        self._new()
        self.told = []

    def send(self, kind, **content):
        return self.take({"type": kind, **content})

    def take(self, event):
        """An event as it comes through the socket."""
        self.told = self.protocol.from_client(parse(json.dumps(event)))
        return self._new()

    def work(self, *outputs):
        self.told = self.protocol.from_worker(list(outputs))
        return self._new()

    def update(self, **session):
        return self.send("session.update", session={"type": "realtime", **session})

    def text(self, words, role="user", kind="input_text", previous=None, **item):
        content = [{"type": kind, "text": words}]
        item = {"type": "message", "role": role, "content": content, **item}
        return self.send("conversation.item.create", item=item, previous_item_id=previous)

    def _new(self):
        events = self.protocol.take()
        self.seen += events
        for event in events:
            if event["type"] not in OURS:
                OPENAI.validate_json(json.dumps(event))
        return events


def kinds(events):
    return [event["type"] for event in events]


def codes(events):
    return [event["error"]["code"] for event in events if event["type"] == "error"]
