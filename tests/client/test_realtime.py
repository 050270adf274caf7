"""The pace of a client that speaks."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import websockets
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter
from websockets.frames import Close

from freeze_omni.client import realtime
from freeze_omni.client.chat import Chat
from freeze_omni.client.realtime import HZ, Realtime, ServerError, decode, encode


class Socket:
    """Remembers what is sent, and when."""

    def __init__(self, clock):
        self.clock, self.sent = clock, []

    async def send(self, message):
        self.sent.append((self.clock["now_s"], len(decode(json.loads(message)["audio"]))))


@pytest.mark.parametrize("paced", [True, False])
def test_sound_is_sent_no_faster_than_it_is_spoken(paced, monkeypatch):
    clock = {"now_s": 5.0}

    async def sleep(seconds):
        clock["now_s"] += max(0.0, seconds)

    monkeypatch.setattr(realtime.time, "monotonic", lambda: clock["now_s"])
    monkeypatch.setattr(realtime.asyncio, "sleep", sleep)
    talk = Realtime("ws://nowhere")
    talk._socket = Socket(clock)

    async def speak():
        for _ in range(5):
            await talk.speak(np.zeros(HZ // 5 + 1, dtype=np.float32), paced)

    asyncio.run(speak())
    assert sum(samples for _, samples in talk._socket.sent) == 5 * (HZ // 5 + 1)
    assert clock["now_s"] == pytest.approx(5.0 + (5 * (HZ // 5 + 1) / HZ if paced else 0))
    before = 0
    for time_s, samples in talk._socket.sent if paced else ():
        assert before / HZ <= time_s - 5.0 + 1e-6
        before += samples


def test_what_is_sent_is_of_the_types_of_the_openai_package():
    sent = []

    class Takes:
        async def send(self, message):
            sent.append(json.loads(message))

    talk = Realtime("ws://nowhere", session={"id": "theirs"})
    talk._socket = Takes()
    chat = Chat(talk, say=lambda line: None)

    async def dialogue():
        await talk.configure(instructions="Be brief.")
        await talk.type("Hello")
        await talk.speak(np.zeros(HZ // 10, dtype=np.float32), paced=False)
        await chat.take({"type": "response.created"})
        await chat.take({"type": "response.output_item.added", "item": {"id": "item"}})
        for _ in range(2):
            sound = encode(np.ones(HZ, dtype=np.float32))
            await chat.take({"type": "response.output_audio.delta", "item_id": "item", "delta": sound})
            await chat.take({"type": "input_audio_buffer.speech_started"})

    asyncio.run(dialogue())
    known = TypeAdapter(RealtimeClientEvent)
    for event in sent:
        known.validate_json(json.dumps(event))
    assert [event["type"] for event in sent].count("conversation.item.truncate") == 1, "once, and no more is played"


@pytest.mark.parametrize("message", ["hello", "[]", '{"status": "ok"}'])
def test_a_server_of_another_protocol_is_told(message):
    class Sends:
        async def recv(self):
            return message

    talk = Realtime("ws://nowhere")
    talk._socket = Sends()
    with pytest.raises(ServerError, match="no event of the Realtime protocol"):
        asyncio.run(talk.next())


@pytest.mark.parametrize("call", [lambda talk: talk.next(), lambda talk: talk.send("response.create")])
def test_a_session_that_the_server_has_ended_says_why(call):
    closed = websockets.ConnectionClosedError(Close(1008, "two workers were lost"), None)

    class Ended:
        async def recv(self):
            raise closed

        async def send(self, _):
            raise closed

    talk = Realtime("ws://nowhere")
    talk._socket = Ended()
    with pytest.raises(ServerError, match="two workers were lost"):
        asyncio.run(call(talk))
