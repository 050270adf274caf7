"""A telephone without a framework: Twilio's Media Streams and Freeze-Omni both speak G.711 at 8 kHz, as base64.

    pip install websockets
    python twilio_line.py --server ws://127.0.0.1:8765/v1/realtime --port 8080

Twilio connects a call by the TwiML `<Response><Connect><Stream url="wss://YOUR.HOST/"/></Connect></Response>`.
"""

import argparse
import asyncio
import json
import os
import time
from base64 import b64decode

import websockets

LAW = {"format": {"type": "audio/pcmu"}}
SESSION = {
    "type": "realtime",
    "instructions": "You answer a telephone. Greet the caller, then answer in one or two short sentences.",
    "audio": {"input": LAW, "output": LAW},
}


async def call(line: websockets.ServerConnection, server: str) -> None:
    """One call, to its end. The bot speaks first."""
    async for message in line:
        event = json.loads(message)
        if event["event"] == "start":
            break
    else:
        return
    headers = {"Authorization": f"Bearer {os.environ.get('FREEZE_OMNI_API_KEY', 'none')}"}
    async with websockets.connect(server, additional_headers=headers, max_size=None) as model:
        await send(model, type="session.update", session=SESSION)
        await send(model, type="response.create")
        answers = asyncio.create_task(play(line, model, event["start"]["streamSid"]))
        async for message in line:
            event = json.loads(message)
            if event["event"] == "media":
                await send(model, type="input_audio_buffer.append", audio=event["media"]["payload"])
            elif event["event"] == "stop":
                break
        answers.cancel()


async def play(line: websockets.ServerConnection, model: websockets.ClientConnection, stream: str) -> None:
    """Answers to the line, until the caller speaks: then the line drops the rest, and the model is told."""
    item, begin_s, sent_ms = "", 0.0, 0
    async for message in model:
        event = json.loads(message)
        if event["type"] == "response.output_audio.delta":
            if event["item_id"] != item:
                item, begin_s, sent_ms = event["item_id"], time.monotonic(), 0
            sent_ms += len(b64decode(event["delta"])) // 8
            await send(line, event="media", streamSid=stream, media={"payload": event["delta"]})
        elif event["type"] == "input_audio_buffer.speech_started" and item:
            heard_ms = min(round(1000 * (time.monotonic() - begin_s)), sent_ms)
            await send(line, event="clear", streamSid=stream)
            await send(model, type="conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=heard_ms)
            item = ""
        elif event["type"] == "error":
            print(event["error"]["message"])


async def send(socket: websockets.ServerConnection | websockets.ClientConnection, **event: object) -> None:
    await socket.send(json.dumps(event))


async def main(server: str, port: int) -> None:
    async with websockets.serve(lambda line: call(line, server), "127.0.0.1", port) as lines:
        await lines.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--server", default="ws://127.0.0.1:8765/v1/realtime", help="of `freeze-omni serve`")
    options.add_argument("--port", type=int, default=8080)
    chosen = options.parse_args()
    asyncio.run(main(chosen.server, chosen.port))
