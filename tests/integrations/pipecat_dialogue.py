"""A call to docs/integrations/pipecat_phone.py, by a caller who speaks Twilio's protocol: G.711 at 8 kHz."""

import asyncio
import base64
import contextlib
import json
import sys

import numpy as np
import pipecat_phone
import steps
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.utils import audioop
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    LLMMessagesAppendFrame,
    LLMSetToolsFrame,
    TranscriptionFrame,
)
from pipecat.observers.base_observer import BaseObserver
from pipecat.services.openai.realtime.events import TurnDetection
from pipecat.workers.runner import WorkerRunner
from steps import Seen

HZ = pipecat_phone.LINE_HZ
TOOL = FunctionSchema("weather", "The weather at a place", {"place": {"type": "string"}}, ["place"])


class Watch(BaseObserver):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen, self.known = seen, set()  # a frame is seen at every part that it passes

    async def on_push_frame(self, data) -> None:
        if isinstance(data.frame, ErrorFrame) and data.frame.error not in self.seen.errors:
            self.seen.errors.append(data.frame.error)
        elif isinstance(data.frame, TranscriptionFrame):
            if data.frame.id not in self.known:
                self.known.add(data.frame.id)
                self.seen.words(data.frame.text)
        elif isinstance(data.frame, BotStartedSpeakingFrame | BotStoppedSpeakingFrame):
            self.seen.speaking = isinstance(data.frame, BotStartedSpeakingFrame)


async def caller(line, seen: Seen) -> None:
    async for message in line:
        event = json.loads(message)
        if event["event"] == "clear":
            seen.stop()
        elif event["event"] == "media":
            seen.sound(len(base64.b64decode(event["media"]["payload"])) / HZ)


async def say(line, samples: np.ndarray) -> None:
    for at in range(0, len(samples), HZ // 50):
        law = audioop.lin2ulaw(steps.pcm(samples[at : at + HZ // 50]), 2)
        await line.send(json.dumps({"event": "media", "media": {"payload": base64.b64encode(law).decode()}}))


async def speak(line) -> None:
    await say(line, np.concatenate([steps.loud(0.8, HZ), steps.quiet(1.0, HZ)]))


async def dialogue(line, worker, llm, seen: Seen) -> None:
    await seen.answered()
    seen.tell("greeting")
    for step in ("first turn", "second turn"):
        await speak(line)
        await seen.answered(aloud=True)
        seen.tell(step)
    await speak(line)
    await seen.until(lambda: seen.sound_s > 0)
    seen.clear()
    await speak(line)
    await seen.until(lambda: seen.stopped)
    await seen.answered(aloud=True)
    seen.tell("barge-in")
    hello = {"role": "user", "content": "Hello there."}
    await llm.queue_frame(LLMMessagesAppendFrame([hello], run_llm=True))
    await seen.answered()
    seen.tell("text turn")
    await worker.queue_frames([LLMSetToolsFrame(ToolsSchema([TOOL]))])
    await asyncio.sleep(1.0)
    seen.tell("tools")
    await speak(line)
    await seen.answered(aloud=True)
    seen.tell("turn after tools")


async def main(place: str) -> None:
    app, calls, seen = FastAPI(), [], Seen()

    @app.websocket("/")
    async def call(socket: WebSocket) -> None:
        llm = pipecat_phone.model(f"ws://{place}", TurnDetection(silence_duration_ms=300))
        worker = pipecat_phone.bot(await pipecat_phone.phone_line(socket), llm)
        worker.add_observer(Watch(seen))
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        calls.append((worker, llm))
        await runner.run()

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    await seen.until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with websockets.connect(f"ws://127.0.0.1:{port}/") as line:
        await line.send(json.dumps({"event": "connected"}))
        await line.send(json.dumps({"event": "start", "start": {"streamSid": "stream"}}))
        await seen.until(lambda: calls)
        listening = asyncio.create_task(caller(line, seen))
        await dialogue(line, *calls[0], seen)
        listening.cancel()
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving


asyncio.run(main(sys.argv[1]))
