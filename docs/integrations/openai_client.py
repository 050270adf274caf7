"""Ask a sound file's question with the openai package, and write the spoken answer.

pip install 'openai[realtime]' soundfile soxr
python openai_client.py question.wav answer.wav --url http://127.0.0.1:8765/v1
"""

import argparse
import asyncio
import os
from base64 import b64decode, b64encode

import numpy as np
import soundfile
import soxr
from openai import AsyncOpenAI

HZ = 24000


async def ask(question: str, answer: str, url: str) -> str:
    """The answer's words. The turn is ended by hand, as a file has an end; a microphone's is found by the server."""
    samples, hz = soundfile.read(question, dtype="float32", always_2d=True)
    sound = (soxr.resample(samples[:, 0], hz, HZ) * 32767).astype("<i2").tobytes()
    client = AsyncOpenAI(api_key=os.environ.get("FREEZE_OMNI_API_KEY", "none"), base_url=url)
    async with client.realtime.connect(model="freeze-omni") as connection:
        turns = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await connection.session.update(session=turns)
        await connection.input_audio_buffer.append(audio=b64encode(sound).decode())
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        said = b""
        async for event in connection:
            if event.type == "error":
                raise SystemExit(event.error.message)
            if event.type == "response.output_audio.delta":
                said += b64decode(event.delta)
            if event.type == "response.done":
                break
    soundfile.write(answer, np.frombuffer(said, dtype="<i2"), HZ)
    return event.response.output[0].content[0].transcript


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("question")
    options.add_argument("answer")
    options.add_argument("--url", default="http://127.0.0.1:8765/v1", help="of `freeze-omni serve`")
    chosen = options.parse_args()
    print(asyncio.run(ask(chosen.question, chosen.answer, chosen.url)))
