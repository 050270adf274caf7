"""A dialogue with the model of docs/integrations/livekit_agent.py, in an AgentSession with a microphone and a
loudspeaker of its own in place of a room."""

import asyncio
import sys
import time

import livekit_agent
import numpy as np
import steps
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice import io
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad
from steps import Seen

HZ = 24000
FRAME_S = 0.02


class Microphone(io.AudioInput):
    """Never stops, as a real one: what LiveKit waits for, such as the user's silence, it finds in the sound."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self.begin_s, self.frames, self.waiting = time.monotonic(), 0, np.zeros(0)

    async def __anext__(self) -> rtc.AudioFrame:
        self.frames += 1
        await asyncio.sleep(max(0, self.begin_s + self.frames * FRAME_S - time.monotonic()))
        size = round(FRAME_S * HZ)
        part, self.waiting = self.waiting[:size], self.waiting[size:]
        if not len(part):
            part = steps.quiet(FRAME_S, HZ)
        return rtc.AudioFrame(steps.pcm(part), HZ, 1, len(part))

    def speak(self) -> None:
        self.waiting = steps.loud(0.8, HZ)


class Loudspeaker(io.AudioOutput):
    """Plays at the pace of speech, and reports when it has played all, or was stopped."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=HZ)
        self.seen, self.begin_s, self.length_s = seen, 0.0, 0.0
        self.ending: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self.length_s:
            self.begin_s = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self.length_s += frame.duration
        self.seen.speaking = True
        self.seen.sound(frame.duration)

    def flush(self) -> None:
        super().flush()
        if self.length_s:
            left_s = self.begin_s + self.length_s - time.monotonic()
            self.ending = asyncio.get_running_loop().call_later(max(left_s, 0), self.end, self.length_s, False)

    def clear_buffer(self) -> None:
        if self.length_s:
            self.seen.stop()
            self.end(min(time.monotonic() - self.begin_s, self.length_s), True)

    def end(self, played_s: float, stopped: bool) -> None:
        if self.ending is not None:
            self.ending.cancel()
        self.ending, self.length_s, self.seen.speaking = None, 0.0, False
        self.on_playback_finished(playback_position=played_s, interrupted=stopped)


@function_tool
async def weather(place: str) -> str:
    """The weather at a place."""
    return "sunny"


async def main(place: str) -> None:
    seen, microphone = Seen(), Microphone()
    turns = ServerVad(type="server_vad", silence_duration_ms=300, create_response=True, interrupt_response=True)
    session = AgentSession(llm=livekit_agent.model(f"http://{place}/v1", turn_detection=turns))
    session.input.audio, session.output.audio = microphone, Loudspeaker(seen)
    session.on("error", lambda event: seen.errors.append(str(event.error)))
    session.on("user_input_transcribed", lambda event: seen.words(event.transcript) if event.is_final else None)
    await session.start(Agent(instructions=livekit_agent.INSTRUCTIONS))

    await session.generate_reply(instructions="Greet the user.").wait_for_playout()
    await seen.answered()
    seen.tell("greeting")
    for step in ("first turn", "second turn"):
        microphone.speak()
        await seen.answered(aloud=True)
        seen.tell(step)
    microphone.speak()
    await seen.until(lambda: seen.sound_s > 0)
    seen.clear()
    microphone.speak()
    await seen.until(lambda: seen.stopped)
    await seen.answered(aloud=True)
    seen.tell("barge-in")
    await session.generate_reply(user_input="Hello there.").wait_for_playout()
    await seen.answered()
    seen.tell("text turn")
    await session.current_agent.update_tools([weather])
    await asyncio.sleep(1.0)
    seen.tell("tools")
    microphone.speak()
    await seen.answered(aloud=True)
    seen.tell("turn after tools")
    cut = [item.interrupted for item in session.history.items if getattr(item, "role", "") == "assistant"]
    assert any(cut) and not all(cut), f"one answer was interrupted: {cut}"
    await session.aclose()


asyncio.run(main(sys.argv[1]))
