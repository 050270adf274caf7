"""The official `openai` client, unchanged, in the scenarios that a voice stack lives on."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.material import HZ, QUESTIONS
from benchmarks.load.server import serving
from freeze_omni.client.realtime import encode

WAIT_S = 120


async def measure(model: Path, sounds: Sequence[np.ndarray]) -> dict[str, Any]:
    """realtime_client_scenarios: the names of those that went through, and of any other why not."""
    import openai

    passed, faults = [], {}
    async with serving(model) as served:
        base_url = served.url.replace("ws://", "http://") + "/v1"
        for scenario in _SCENARIOS:
            name = scenario.__name__[1:]
            client = openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0)
            try:
                async with asyncio.timeout(WAIT_S), client.realtime.connect(model=model.name) as connection:
                    await scenario(connection, sounds)
                passed.append(name)
            except (AssertionError, TimeoutError, openai.OpenAIError) as fault:
                faults[name] = repr(fault)
    return {"realtime_client_scenarios": passed, "faults": faults, "openai": openai.__version__}


async def _spoken_turn(connection: Any, sounds: Sequence[np.ndarray]) -> None:
    await _by_gate(connection)
    await _speak(connection, sounds[0])
    events = await _until(connection, "response.done")
    kinds = [event.type for event in events]
    for kind in ("input_audio_buffer.speech_started", "input_audio_buffer.committed", "response.created"):
        assert kind in kinds, kind
    assert _audio_s(events) > 0


async def _interruption(connection: Any, sounds: Sequence[np.ndarray]) -> None:
    await _by_gate(connection)
    await _type(connection, "Tell me a long story about a whale.")
    events = await _until(connection, "response.output_audio.delta")
    item = next(event.item_id for event in reversed(events) if event.type == "response.output_audio.delta")
    await _speak(connection, sounds[0])
    events = await _until(connection, "input_audio_buffer.speech_started")
    await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=200)
    events += await _until(connection, "conversation.item.truncated")
    kinds = [event.type for event in events]
    while "response.done" not in kinds:
        kinds.append((await connection.recv()).type)


async def _text_turn(connection: Any, sounds: Sequence[np.ndarray]) -> None:
    await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    await _type(connection, QUESTIONS[0])
    events = await _until(connection, "response.done")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta").strip()
    assert not _audio_s(events)


async def _several_turns(connection: Any, sounds: Sequence[np.ndarray]) -> None:
    for question in QUESTIONS[:3]:
        await _type(connection, question)
        done = (await _until(connection, "response.done"))[-1].response
        assert done.status in ("completed", "incomplete") and done.output[0].content[0].transcript


async def _by_gate(connection: Any) -> None:
    turns = {"type": "server_vad", "silence_duration_ms": 500}
    await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": turns}}})
    await _until(connection, "session.updated")


async def _type(connection: Any, text: str) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await connection.conversation.item.create(item=item)
    await connection.response.create()


async def _speak(connection: Any, sound: np.ndarray) -> None:
    quiet = np.zeros(HZ // 2, dtype=np.float32)
    whole = np.concatenate([quiet, sound, quiet, quiet, quiet])
    for at in range(0, len(whole), HZ // 10):
        await connection.input_audio_buffer.append(audio=encode(whole[at : at + HZ // 10]))
        await asyncio.sleep(0.1)


async def _until(connection: Any, kind: str) -> list[Any]:
    found: list[Any] = []
    while not found or found[-1].type != kind:
        found.append(await connection.recv())
        assert found[-1].type != "error", found[-1]
    return found


def _audio_s(events: Sequence[Any]) -> float:
    deltas = [event.delta for event in events if event.type == "response.output_audio.delta"]
    return sum(len(base64.b64decode(delta)) for delta in deltas) / 2 / HZ


_SCENARIOS: tuple[Callable[..., Awaitable[None]], ...] = (_spoken_turn, _interruption, _text_turn, _several_turns)
