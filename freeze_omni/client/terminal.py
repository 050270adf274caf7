"""What `freeze-omni chat` does: turns from files, from the keyboard or from the microphone (extra: sounddevice)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np

from freeze_omni.client.chat import Chat, placed
from freeze_omni.client.realtime import HZ, OWN, PIECE_S, Realtime
from freeze_omni.data.audio import read_question, write_wav

Said = list[tuple[float, np.ndarray]]


async def run(chosen: argparse.Namespace) -> None:
    """Raises ServerError, NoDevice, AudioError."""
    sounds = [read_question(path, HZ)[0] for path in chosen.input]
    async with Realtime(chosen.url, chosen.api_key, chosen.ca) as talk:
        ours = {"states": chosen.states, "cleared": True, "pauses": True}
        session = {OWN: ours} if OWN in talk.session else {}
        await talk.configure(**session, **({"instructions": chosen.system} if chosen.system else {}))
        if not sounds and not chosen.text:
            return await _by_microphone(talk, chosen)
        chat = Chat(talk, states=chosen.states)
        following = asyncio.create_task(_follow(talk, chat))
        user = await (_by_files(talk, chat, sounds, chosen) if sounds else _by_typing(talk, chat, chosen))
        following.cancel()
        if chosen.output:
            _write(chosen.output, user, chat.voices.track())


async def _follow(talk: Realtime, chat: Chat) -> None:
    async for event in talk.events():
        await chat.take(event)


async def _by_files(talk: Realtime, chat: Chat, sounds: list[np.ndarray], chosen: argparse.Namespace) -> Said:
    """Each file, then silence until it was answered; what was said when."""
    said = []
    for path, sound in zip(chosen.input, sounds, strict=True):
        print(f"{chat.voices.now_s():8.2f} s  plays   {path}", flush=True)
        said.append((chat.voices.now_s(), sound))
        before = chat.responses
        await talk.speak(np.concatenate([sound, np.zeros(round(chosen.pause_s * HZ), dtype=np.float32)]))
        await _answered(talk, chat, before, chosen.wait_s)
    return said


async def _by_typing(talk: Realtime, chat: Chat, chosen: argparse.Namespace) -> Said:
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            before = chat.responses
            await talk.type(line.strip())
            await _answered(talk, chat, before, chosen.wait_s)
    return []


async def _answered(talk: Realtime, chat: Chat, before: int, wait_s: float) -> None:
    """Until an answer was made and played; meanwhile silence is sent, as from a microphone."""
    end_s = chat.voices.now_s() + wait_s
    while chat.voices.now_s() < end_s and (chat.responses == before or chat.playing):
        await talk.speak(np.zeros(HZ // 10, dtype=np.float32))
        await asyncio.sleep(0.05)


async def _by_microphone(talk: Realtime, chosen: argparse.Namespace) -> None:
    with devices() as (speaker, pieces):
        chat = Chat(talk, speaker=speaker, states=chosen.states, hold=speaker.hold)
        print("Speak; Ctrl-C ends. Wear headphones: the model hears its own voice otherwise.")
        following = asyncio.create_task(_follow(talk, chat))
        async for piece in pieces:
            await talk.speak(piece, paced=False)
            if following.done():
                return following.result()


def _write(path: Path, user: Said, answers: np.ndarray) -> None:
    size = max([len(answers), *(round(at_s * HZ) + len(sound) for at_s, sound in user)])
    write_wav(path, np.stack([placed(user, size), placed([(0.0, answers)], size)], axis=1), HZ)


class NoDevice(RuntimeError):
    """No sound device can be used; says what to do."""


class Speaker:
    """Plays pieces one after another; None drops what waits."""

    def __init__(self) -> None:
        self._waiting = np.zeros(0, dtype=np.float32)
        self._paused = False

    def __call__(self, samples: np.ndarray | None) -> None:
        self._waiting = self._waiting[:0] if samples is None else np.concatenate([self._waiting, samples])

    def hold(self, paused: bool) -> None:
        """Be silent, and let all wait; or play on."""
        self._paused = paused

    def fill(self, out: np.ndarray) -> None:
        """(frames, 1) float32 of a device."""
        size = 0 if self._paused else len(out)
        part, self._waiting = self._waiting[:size], self._waiting[size:]
        out[:] = 0
        out[: len(part), 0] = part


@contextlib.contextmanager
def devices() -> Iterator[tuple[Speaker, AsyncIterator[np.ndarray]]]:
    """A loudspeaker, and pieces (S,) of `PIECE_S` from the microphone. Raises NoDevice."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        text = f"no sound devices here ({error}): pip install sounddevice, or give wav files with --input"
        raise NoDevice(text) from None
    loop, speaker = asyncio.get_running_loop(), Speaker()
    pieces: asyncio.Queue[np.ndarray] = asyncio.Queue()

    def heard(data: np.ndarray, *_: object) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, data[:, 0].copy())

    options = {"samplerate": HZ, "blocksize": round(PIECE_S * HZ), "channels": 1, "dtype": "float32"}
    try:
        microphone = sounddevice.InputStream(callback=heard, **options)
        loudspeaker = sounddevice.OutputStream(callback=lambda out, *_: speaker.fill(out), **options)
    except sounddevice.PortAudioError as error:
        raise NoDevice(f"no microphone or loudspeaker can be opened ({error}): give wav files with --input") from None

    async def listen() -> AsyncIterator[np.ndarray]:
        while True:
            yield await pieces.get()

    with microphone, loudspeaker:
        yield speaker, listen()
