"""A telephone that pipecat answers: Twilio's Media Streams (8 kHz G.711) in, Freeze-Omni behind it.

    python -m venv bot && bot/bin/pip install 'pipecat-ai[openai,websocket]' uvicorn
    bot/bin/python pipecat_phone.py --server ws://127.0.0.1:8765 --port 8080

Twilio connects a call by the TwiML `<Response><Connect><Stream url="wss://YOUR.HOST/"/></Connect></Response>`.
"""

import argparse
import os

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.realtime.events import AudioConfiguration, AudioInput, SessionProperties, TurnDetection
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

INSTRUCTIONS = "You answer a telephone. Greet the caller, then answer in one or two short sentences."
LINE_HZ = 8000


async def phone_line(socket: WebSocket) -> FastAPIWebsocketTransport:
    """The transport of a call, after Twilio has said which stream it is."""
    await socket.accept()
    while (message := await socket.receive_json())["event"] != "start":
        pass
    # auto_hang_up needs the keys of a Twilio account
    own = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    serializer = TwilioFrameSerializer(message["start"]["streamSid"], params=own)
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer)
    return FastAPIWebsocketTransport(socket, params)


def model(server: str, turns: TurnDetection | None = None) -> OpenAIRealtimeLLMService:
    """turns: None for the server's own turn detection, the state head."""
    audio = AudioConfiguration(input=AudioInput(turn_detection=turns)) if turns else None
    return OpenAIRealtimeLLMService(
        api_key=os.environ.get("FREEZE_OMNI_API_KEY", "none"),
        base_url=f"{server}/v1/realtime",
        settings=OpenAIRealtimeLLMService.Settings(
            model="freeze-omni", system_instruction=INSTRUCTIONS, session_properties=SessionProperties(audio=audio)
        ),
    )


def bot(transport: FastAPIWebsocketTransport, llm: OpenAIRealtimeLLMService) -> PipelineWorker:
    """A call's pipeline; the bot speaks first."""
    context = LLMContextAggregatorPair(LLMContext())
    parts = [transport.input(), context.user(), llm, transport.output(), context.assistant()]
    params = PipelineParams(audio_in_sample_rate=LINE_HZ, audio_out_sample_rate=LINE_HZ)
    worker = PipelineWorker(Pipeline(parts), params=params)

    @transport.event_handler("on_client_connected")
    async def greet(*_):
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def hang_up(*_):
        await worker.cancel()

    return worker


def application(server: str) -> FastAPI:
    app = FastAPI()

    @app.websocket("/")
    async def call(socket: WebSocket) -> None:
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(bot(await phone_line(socket), model(server)))
        await runner.run()

    return app


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--server", default="ws://127.0.0.1:8765", help="where `freeze-omni serve` runs")
    options.add_argument("--port", type=int, default=8080)
    chosen = options.parse_args()
    uvicorn.run(application(chosen.server), host="127.0.0.1", port=chosen.port)
