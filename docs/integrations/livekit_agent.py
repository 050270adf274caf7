"""A LiveKit agent that speaks by Freeze-Omni.

python -m venv agent && agent/bin/pip install livekit-agents livekit-plugins-openai
agent/bin/python livekit_agent.py console       # in a terminal; needs PortAudio
agent/bin/python livekit_agent.py start         # in rooms: LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET
"""

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai
from openai.types.realtime import AudioTranscription
from openai.types.realtime.realtime_audio_input_turn_detection import SemanticVad

INSTRUCTIONS = "You are a helpful voice assistant. Answer in one or two short sentences."
STATE_HEAD = SemanticVad(type="semantic_vad", create_response=True, interrupt_response=True)

server = AgentServer()


def model(url: str, **options) -> openai.realtime.RealtimeModel:
    """url: of `freeze-omni serve`, http://host:port/v1."""
    return openai.realtime.RealtimeModel(
        model="freeze-omni",
        base_url=url,
        api_key=os.environ.get("FREEZE_OMNI_API_KEY", "none"),
        **{
            "turn_detection": STATE_HEAD,
            "input_audio_transcription": AudioTranscription(model="ctc"),
            **options,
        },
    )


@server.rtc_session()
async def answer(job: JobContext) -> None:
    session = AgentSession(llm=model(os.environ.get("FREEZE_OMNI_URL", "http://127.0.0.1:8765/v1")))
    await session.start(Agent(instructions=INSTRUCTIONS), room=job.room)
    await session.generate_reply(instructions="Greet the user.")


if __name__ == "__main__":
    cli.run_app(server)
