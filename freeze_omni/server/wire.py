"""Events as text, and audio as they carry it: base64 of PCM of 16 bits at 24 kHz, or of G.711 at 8 kHz.

`RequestError` is what every part of the protocol raises for a client's event that cannot be followed.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import soxr

PIECE_CHARS = 1 << 16
"""Of base64 (a second of PCM): longer audio is taken in pieces, so that other clients are served between them."""
RATES_HZ = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}


class RequestError(ValueError):
    """A client's event that cannot be followed; the session goes on. param: the path of the field at fault."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def parse(message: object) -> Any:
    """The event in a WebSocket's message. Raises RequestError."""
    if not isinstance(message, str):
        raise RequestError("Events come as text, not as bytes.", "invalid_event")
    try:
        event = json.loads(message, parse_constant=_no_number)
        if "\\ud" in message or "\\uD" in message:  # half of a pair is valid in JSON, but no text
            json.dumps(event, ensure_ascii=False).encode("utf-8")
        return event
    except UnicodeEncodeError:
        raise RequestError("The message has half a surrogate pair, which is no text.", "invalid_json") from None
    except (ValueError, RecursionError):
        raise RequestError("The message is not JSON.", "invalid_json") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


@dataclass
class Decoder:
    """Base64 to int16 samples at `hz`, as a stream: what a resampler holds back comes with the next piece."""

    kind: str
    hz: int

    def __post_init__(self) -> None:
        self.rate_hz = RATES_HZ[self.kind]
        self._resample = _stream(self.rate_hz, self.hz)
        self.seconds = 0.0

    def __call__(self, text: object) -> np.ndarray:
        """Raises RequestError for anything but base64 of whole samples."""
        if not isinstance(text, str):
            raise _audio_error("audio must be a string of base64")
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _audio_error("audio is not base64") from None
        if self.kind == "audio/pcm" and len(data) % 2:
            raise _audio_error(f"audio of {len(data)} bytes is not a whole number of 16 bit samples")
        if self.kind == "audio/pcm":
            samples = np.frombuffer(data, dtype="<i2")
        else:
            samples = _TABLES[self.kind][np.frombuffer(data, dtype=np.uint8)]
        self.seconds += len(samples) / self.rate_hz
        return _run(self._resample, samples.astype(np.int16))


@dataclass
class Encoder:
    """Float samples at `hz` to base64, as a stream."""

    kind: str
    hz: int

    def __post_init__(self) -> None:
        self._resample = _stream(self.hz, RATES_HZ[self.kind])

    def __call__(self, samples: np.ndarray) -> str:
        whole = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
        return self._encode(_run(self._resample, whole))

    def end(self) -> str:
        """What the resampler held back, if anything."""
        if self._resample is None:
            return ""
        return self._encode(self._resample.resample_chunk(np.zeros(0, dtype=np.int16), last=True))

    def _encode(self, samples: np.ndarray) -> str:
        if self.kind == "audio/pcm":
            return base64.b64encode(samples.astype("<i2")).decode("ascii")
        order, middles = _NEAREST[self.kind]
        return base64.b64encode(order[np.searchsorted(middles, samples.astype(np.int32))]).decode("ascii")


def _audio_error(problem: str) -> RequestError:
    return RequestError(problem, "invalid_audio", "audio")


def _stream(from_hz: int, to_hz: int) -> soxr.ResampleStream | None:
    return None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16")


def _run(resample: soxr.ResampleStream | None, samples: np.ndarray) -> np.ndarray:
    return samples if resample is None or not len(samples) else resample.resample_chunk(samples)


def _table(law: str) -> np.ndarray:
    """int16 of each of the 256 bytes (ITU-T G.711)."""
    every = io.BytesIO(bytes(range(256)))
    return soundfile.read(every, dtype="int16", samplerate=8000, channels=1, format="RAW", subtype=law)[0]


def _nearest(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes by their level, and the middles between two levels."""
    order = np.argsort(table, kind="stable").astype(np.uint8)
    levels = table[order].astype(np.int32)
    return order, (levels[:-1] + levels[1:] + 1) // 2


_TABLES = {"audio/pcmu": _table("ULAW"), "audio/pcma": _table("ALAW")}
_NEAREST = {kind: _nearest(table) for kind, table in _TABLES.items()}
