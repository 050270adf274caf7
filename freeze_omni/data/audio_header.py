"""Whether an audio file is whole, by its header and size, in some tens of microseconds."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import soundfile

from freeze_omni.data.audio import AudioError

UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000 - 44)  # written by programs that stream
HEAD_BYTES = 4096


@dataclass(frozen=True)
class AudioHeader:
    """Rate in Hz, length in samples (of one channel) and number of channels."""

    rate_hz: int
    samples: int
    channels: int


def read_header(path: str | Path) -> AudioHeader:
    """Header of a wav, flac, ogg, sph, ... file. Raises AudioError, without the file's name: missing, cut or empty."""
    try:
        size = os.stat(path).st_size
    except OSError:
        raise AudioError("there is no such audio file") from None
    if size == 0:
        raise AudioError("the audio file is empty (0 bytes)")
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        header = wav_header(head, size) or other_header(path)
    else:
        header = other_header(path)
    if header.samples == 0:
        raise AudioError("the audio file has no samples")
    return header


def wav_header(head: bytes, size: int) -> AudioHeader | None:
    """Walk the chunks of a wav file of `size` bytes; None if `data` starts after `head`.

    soundfile cannot tell that a file is cut: it takes the length from what is left.
    """
    at, layout = 12, None
    while at + 8 <= len(head):
        name, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if name == b"fmt " and at + 24 <= len(head):
            _, channels, rate, _, block, _ = struct.unpack_from("<HHIIHH", head, at + 8)
            layout = (channels, rate, block)
        elif name == b"data":
            if layout is None or 0 in layout:
                raise AudioError("the wav header is broken: no usable fmt chunk before the data")
            left = size - at - 8
            if length not in UNKNOWN_SIZES and length > left:
                raise AudioError(
                    f"the wav file is truncated: its header promises {length} bytes of audio, {left} are there"
                )
            channels, rate, block = layout
            return AudioHeader(rate, min(length, left) // block, channels)
        at += 8 + length + length % 2
    if at >= size:
        raise AudioError("the wav file is truncated: it ends before its audio")
    return None


def other_header(path: str | Path) -> AudioHeader:
    """The header of any other format, by soundfile; the last sample is read, to prove that it exists."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            header = AudioHeader(file.samplerate, file.frames, file.channels)
            if file.seekable() and header.samples:
                file.seek(header.samples - 1)
                if len(file.read(1)) != 1:
                    raise AudioError("the audio file is truncated: its last sample is missing")
    except (soundfile.SoundFileError, RuntimeError) as error:
        reason = str(error).split(":")[-1].strip().rstrip(".")
        raise AudioError(f"the audio file cannot be read: {reason}") from None
    return header
