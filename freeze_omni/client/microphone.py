"""Microphone and loudspeaker of this machine, if any (extra: sounddevice)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import numpy as np

from freeze_omni.client.realtime import HZ

PIECE = 960


class NoDevice(RuntimeError):
    """No sound device can be used; says what to do."""


class Speaker:
    """Plays pieces one after another; None drops what waits."""

    def __init__(self) -> None:
        self._waiting = np.zeros(0, dtype=np.float32)

    def __call__(self, samples: np.ndarray | None) -> None:
        self._waiting = self._waiting[:0] if samples is None else np.concatenate([self._waiting, samples])

    def fill(self, out: np.ndarray) -> None:
        """(frames, 1) float32 of a device."""
        part, self._waiting = self._waiting[: len(out)], self._waiting[len(out) :]
        out[:] = 0
        out[: len(part), 0] = part


@contextlib.contextmanager
def devices() -> Iterator[tuple[Speaker, AsyncIterator[np.ndarray]]]:
    """A loudspeaker, and pieces (960,) from the microphone. Raises NoDevice."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise NoDevice(
            f"no sound devices here ({error}): pip install sounddevice, or give wav files with --input"
        ) from None
    loop, speaker = asyncio.get_running_loop(), Speaker()
    pieces: asyncio.Queue[np.ndarray] = asyncio.Queue()

    def heard(data: np.ndarray, *_: object) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, data[:, 0].copy())

    options = {"samplerate": HZ, "blocksize": PIECE, "channels": 1, "dtype": "float32"}
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
