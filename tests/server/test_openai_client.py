"""The official `openai` client, unchanged, against a running server."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest
from openai import AsyncOpenAI

from tests.server.rig import loud, pcm, quiet, serving
from tests.toy import toy_system

pytestmark = pytest.mark.servers

WAIT_S = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


@pytest.fixture(scope="module")
def place(model):
    with serving(model) as (place, _):
        yield place


def client(place, key="none"):
    return AsyncOpenAI(api_key=key, base_url=f"http://{place}/v1", max_retries=0)


async def until(connection, kind, count=1):
    """All events up to the `count`-th of a kind; an error event fails."""
    found = []
    async with asyncio.timeout(WAIT_S):
        while sum(event.type == kind for event in found) < count:
            event = await connection.recv()
            assert event.type != "error" or kind == "error", event
            found.append(event)
    return found


def joined(events, kind):
    return "".join(event.delta for event in events if event.type == kind)


def samples(events):
    parts = [base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"]
    return np.frombuffer(b"".join(parts), dtype="<i2")


def talk(place, scenario, key="none"):
    async def run():
        async with client(place, key).realtime.connect(model="toy") as connection:
            created = (await until(connection, "session.created"))[0]
            assert created.session.output_modalities == ["audio"]
            return await scenario(connection)

    return asyncio.run(run())


async def say(connection, text, **response):
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await connection.conversation.item.create(item=item)
    await connection.response.create(response=response)
    return await until(connection, "response.done")


async def send(connection, *sounds):
    for sound in sounds:
        for at in range(0, len(sound), 2400):
            await connection.input_audio_buffer.append(audio=pcm(sound[at : at + 2400]))


def test_a_text_turn_is_written_and_spoken(place):
    events = talk(place, lambda connection: say(connection, "Hello"))
    order = [event.type for event in events]
    for earlier, later in (
        ("conversation.item.added", "response.created"),
        ("response.created", "response.output_item.added"),
        ("response.content_part.added", "response.output_audio_transcript.delta"),
        ("response.output_audio.delta", "response.output_audio.done"),
        ("response.content_part.done", "response.output_item.done"),
    ):
        assert order.index(earlier) < order.index(later)
    assert len(samples(events)) % 600 == 0 and len(samples(events))
    done = events[-1].response
    assert done.status in ("completed", "incomplete") and done.output[0].role == "assistant"
    transcript = joined(events, "response.output_audio_transcript.delta")
    assert done.output[0].content[0].transcript == transcript
    assert all(event.event_id for event in events)


def test_text_alone(place):
    async def scenario(connection):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        updated = (await until(connection, "session.updated"))[-1]
        assert updated.session.output_modalities == ["text"]
        return await say(connection, "Hello")

    events = talk(place, scenario)
    assert joined(events, "response.output_text.delta") and not len(samples(events))


def test_a_spoken_turn_is_found_by_the_gate_and_answered(place):
    async def scenario(connection):
        detection = {"type": "server_vad", "silence_duration_ms": 300}
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
        await until(connection, "session.updated")
        await send(connection, quiet(0.6), loud(0.8), quiet(1.2))
        return await until(connection, "response.done")

    events = talk(place, scenario)
    order = [event.type for event in events]
    wanted = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "response.created",
        "response.done",
    ]
    places = [order.index(kind) for kind in wanted]
    assert places == sorted(places)
    started = events[places[0]]
    assert 400 <= started.audio_start_ms <= 900 and started.item_id == events[places[2]].item_id
    heard = [e for e in events if e.type == "conversation.item.input_audio_transcription.completed"]
    deltas = joined(events, "conversation.item.input_audio_transcription.delta")
    assert heard[0].transcript == deltas.strip() and heard[0].transcript


def test_a_turn_by_hand(place):
    async def scenario(connection):
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        await until(connection, "session.updated")
        await connection.input_audio_buffer.commit()
        refused = (await until(connection, "error"))[-1]
        assert refused.error.code == "input_audio_buffer_commit_empty"
        await send(connection, loud(0.7))
        await connection.input_audio_buffer.commit()
        await until(connection, "input_audio_buffer.committed")
        await connection.response.create()
        return await until(connection, "response.done")

    assert len(samples(talk(place, scenario)))


def test_an_interruption_by_voice_cancels_and_truncates(place):
    async def scenario(connection):
        detection = {"type": "server_vad", "silence_duration_ms": 300}
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
        await until(connection, "session.updated")
        first = await say(connection, "Tell me about the whale.")
        item = next(e.item for e in first if e.type == "response.output_item.added")
        await send(connection, quiet(0.3), loud(0.8))
        events = await until(connection, "input_audio_buffer.speech_started")
        await connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=100)
        events += await until(connection, "conversation.item.truncated")
        await send(connection, quiet(1.0))
        events += await until(connection, "response.done")
        await connection.conversation.item.retrieve(item_id=item.id)
        events += await until(connection, "conversation.item.retrieved")
        return first, events

    first, events = talk(place, scenario)
    assert "output_audio_buffer.cleared" not in [event.type for event in events]
    whole = first[-1].response.output[0].content[0].transcript
    kept = events[-1].item.content[0].transcript
    assert whole.startswith(kept) and len(kept) < len(whole)


def test_cancelling_a_response(place):
    async def scenario(connection):
        await connection.response.cancel()
        refused = (await until(connection, "error"))[-1]
        assert refused.error.code == "response_cancel_not_active"
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        await until(connection, "response.created")
        await connection.response.cancel()
        return await until(connection, "response.done")

    response = talk(place, scenario)[-1].response
    assert response.status in ("cancelled", "incomplete", "completed")


def test_several_turns_with_history_and_limits(place):
    async def scenario(connection):
        answers = []
        for text in ("Hello", "And then?", "Why?"):
            answers.append((await say(connection, text))[-1].response)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "More"}]}
        await connection.conversation.item.create(item=item)
        await connection.response.create(response={"output_modalities": ["text"], "max_output_tokens": 2})
        short = await until(connection, "response.done")
        return answers, short

    answers, short = talk(place, scenario)
    assert len({answer.id for answer in answers}) == 3
    assert short[-1].response.max_output_tokens == 2 and short[-1].response.output_modalities == ["text"]


def test_instructions_change_between_turns(place):
    async def scenario(connection):
        before = (await say(connection, "Hello"))[-1]
        await connection.session.update(session={"type": "realtime", "instructions": "Be brief."})
        await until(connection, "session.updated")
        return before, (await say(connection, "Hello"))[-1]

    before, after = talk(place, scenario)
    assert before.response.output[0].content[0].transcript != after.response.output[0].content[0].transcript
