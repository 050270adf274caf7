"""The files of docs/integrations that need nothing but this environment (the others: tests/integrations)."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from base64 import b64decode, b64encode

import numpy as np
import pytest
import soundfile
import websockets

from freeze_omni.server.wire import Encoder
from tests.server.rig import loud, quiet, serving
from tests.shell.bash import ROOT
from tests.toy import toy_system


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/integrations/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with serving(toy_system(tmp_path_factory.mktemp("toy") / "llm")) as (place, _):
        yield place


def test_a_question_in_a_file(place, tmp_path):
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    soundfile.write(question, loud(0.7, hz=16000), 16000)
    words = asyncio.run(example("openai_client").ask(str(question), str(answer), f"http://{place}/v1"))
    assert words and soundfile.info(answer).samplerate == 24000 and np.abs(soundfile.read(answer)[0]).max() > 0


def test_a_telephone_greets_is_interrupted_and_answers(place, monkeypatch):
    line_example = example("twilio_line")
    sound = {"input": line_example.LAW | {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}}
    monkeypatch.setitem(line_example.SESSION, "audio", line_example.SESSION["audio"] | sound)
    told: list[dict] = []

    async def until(line, kind):
        async with asyncio.timeout(60):
            while not told or told[-1]["event"] != kind:
                told.append(json.loads(await line.recv()))

    async def dialogue():
        url = f"ws://{place}/v1/realtime"
        async with websockets.serve(lambda line: line_example.call(line, url), "127.0.0.1", 0) as lines:
            port = lines.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}/") as line:
                await line.send(json.dumps({"event": "connected"}))
                await line.send(json.dumps({"event": "start", "start": {"streamSid": "mine"}}))
                await until(line, "media")
                law = b64decode(Encoder("audio/pcmu", 8000)(np.concatenate([loud(0.8, hz=8000), quiet(1, hz=8000)])))
                for at in range(0, len(law), 160):
                    payload = b64encode(law[at : at + 160]).decode()
                    await line.send(json.dumps({"event": "media", "media": {"payload": payload}}))
                await until(line, "clear")
                await until(line, "media")
                await line.send(json.dumps({"event": "stop"}))

    asyncio.run(dialogue())
    assert {event["streamSid"] for event in told} == {"mine"}
    assert all(b64decode(event["media"]["payload"]) for event in told if event["event"] == "media")
