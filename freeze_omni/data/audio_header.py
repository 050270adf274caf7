"""How long a sound file is: what its header says, held against what is there."""

import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import soundfile

_HEAD_BYTES = 1024
_MOST_CHUNKS = 1000  # of a wav file before its audio
_MOST_SAMPLES = 1 << 40  # libsndfile's word for an unknown length is larger
_BEYOND_FULL_SCALE = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# Programs that write a wav file into a pipe cannot go back to the header: sox writes 0x7ffff000, arecord 0x7fffff00,
# ffmpeg 0xffffffff, others something near 2 or 4 GiB, less the bytes of the header.
_UNKNOWN_LENGTHS = (range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 0x100000000))
_UNREADABLE = (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, MemoryError)


class AudioError(ValueError):
    """Audio that cannot be used; the text says why, and the fix."""


@dataclass(frozen=True)
class AudioHeader:
    """Rate in Hz, length in samples (of one channel), number of channels; bounded: no sample is beyond full scale."""

    rate_hz: int
    samples: int
    channels: int
    bounded: bool = field(default=True, compare=False)


def read_header(path: str | Path) -> AudioHeader:
    """Header of a wav, flac, ogg, sph, ... file. Raises AudioError, without the file's name: missing, cut or empty."""
    try:
        size = os.stat(path).st_size
        if size == 0:
            raise AudioError("the audio file is empty (0 bytes)")
        with open(path, "rb") as file:
            header = check_whole(file, size)
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError("there is no such audio file") from None
    except OSError as error:
        raise AudioError(f"the audio file cannot be opened: {error.strerror}") from None
    header = header or _by_soundfile(path)
    if header.samples == 0:
        raise AudioError("the audio file has no samples")
    return header


def check_whole(file: BinaryIO, size: int) -> AudioHeader | None:
    """Raises AudioError if a file of `size` bytes is shorter than its header says; the header, if it is a plain wav.

    soundfile cannot tell that a file is cut: it takes the length from what is left.
    """
    start = file.tell()
    head = file.read(_HEAD_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wav(file, start, size)
    promised = _promised(head)
    if promised > size:
        raise AudioError(f"the audio file is truncated: its header promises {promised} bytes, {size} are there")
    return None


def _promised(head: bytes) -> int:
    """How many bytes a file has by its first ones; 0 if they do not say."""
    whole = 0
    if len(head) < 28:
        return 0
    if head[:4] == b"FORM":  # aiff
        whole = struct.unpack_from(">I", head, 4)[0]
    elif head[:4] == b".snd":  # au
        whole = sum(struct.unpack_from(">II", head, 4))
    elif head[:4] == b"RF64" and head[12:16] == b"ds64":
        whole = struct.unpack_from("<Q", head, 20)[0]
    elif head[:4] == b"riff":  # w64
        whole = struct.unpack_from("<Q", head, 16)[0]
    elif head[:7] == b"NIST_1A":
        words = [re.search(rb"\b" + name + rb" -i (\d{1,12})\b", head) for name in _NIST_COUNTS]
        samples, channels, size = (int(word[1]) if word else 0 for word in words)
        return _HEAD_BYTES + samples * channels * size if samples * channels * size else 0
    known = 0 < whole < 0xFFFF0000 or 0xFFFFFFFF < whole < 1 << 62
    return whole if known else 0


_NIST_COUNTS = (b"sample_count", b"channel_count", b"sample_n_bytes")


def _wav(file: BinaryIO, start: int, size: int) -> AudioHeader | None:
    """Walk the chunks to the audio; None: soundfile has to say how much it is."""
    at, layout = 12, b""
    for _ in range(_MOST_CHUNKS):
        file.seek(start + at)
        head = file.read(8)
        if len(head) < 8:
            raise AudioError("the wav file is truncated: it ends before its audio")
        name, length = head[:4], struct.unpack_from("<I", head, 4)[0]
        if name == b"fmt ":
            layout = file.read(min(length, 40))
        elif name == b"data":
            return _wav_audio(layout, length, size - at - 8)
        at += 8 + length + length % 2
    return None


def _wav_audio(layout: bytes, length: int, left: int) -> AudioHeader | None:
    """What `length` bytes of audio are, where `left` are there."""
    broken = AudioError("the wav header is broken: no usable fmt chunk before the data")
    if len(layout) < 16:
        raise broken
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", layout)
    if 0 in (channels, rate, block):
        raise broken
    if length == 0 and left:
        raise AudioError(f"the header of the wav file was never closed: it promises no audio, {left} bytes follow")
    if left > 0xFFFFFFFF:
        raise AudioError("the wav file is longer than its header can say (4 GiB); cut it, or convert it to flac")
    if length > left and not any(length in some for some in _UNKNOWN_LENGTHS):
        raise AudioError(f"the wav file is truncated: its header promises {length} bytes of audio, {left} are there")
    if code == _EXTENSIBLE and len(layout) >= 26:
        code = struct.unpack_from("<H", layout, 24)[0]
    if code not in (_PCM, _FLOAT, _ALAW, _MULAW) or block != channels * -(-bits // 8):
        return None  # coded in blocks: bytes do not say how many samples
    return AudioHeader(rate, min(length, left) // block, channels, code != _FLOAT)


def _by_soundfile(path: str | Path) -> AudioHeader:
    """The header of any format; the last sample is read, to prove that it exists."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            bounded = file.subtype not in _BEYOND_FULL_SCALE
            header = AudioHeader(file.samplerate, file.frames, file.channels, bounded)
            if header.samples >= _MOST_SAMPLES:
                raise AudioError("the header does not say how long the audio is; write it again, into a file")
            if file.seekable() and header.samples:
                file.seek(header.samples - 1)
                if len(file.read(1)) != 1:
                    raise AudioError("the audio file is truncated: its last sample is missing")
    except AudioError:
        raise
    except _UNREADABLE as error:
        reason = str(error).split(":")[-1].strip().rstrip(".")
        raise AudioError(f"the file cannot be read as audio: {reason}") from None
    return header
