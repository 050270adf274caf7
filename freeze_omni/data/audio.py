"""Audio in and out: headers held against what is there, any wav.scp entry to mono float32, 16-bit wav files."""

import io
import os
import re
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from freeze_omni.data.archives import file_of, read_member
from freeze_omni.data.tables import whole_file

Wav = NDArray[np.float32]
SILENCE_PEAK = 1e-3
FRAME_S = 0.01
MOST_PEAK = 2.0  # lossy codecs exceed 1 a little; integers that were written as floats by far
_HEAD_BYTES = 1024
_MOST_CHUNKS = 1000  # of a wav file before its audio
_MOST_SAMPLES = 1 << 40  # libsndfile's word for an unknown length is larger
_BEYOND_FULL_SCALE = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_PLAIN = struct.Struct("<4sI4s4sIHHIIHH4sI")  # the header of a wav file that has its format and its data, no more
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


def entry_header(entry: str) -> AudioHeader:
    """Header of what a wav.scp entry names, a file or a sound of an archive. Raises AudioError as `read_header`."""
    path, offset = file_of(entry) or ("", 0)
    if not offset:
        return read_header(path or entry)
    try:
        return content_header(read_member(path, offset))
    except FileNotFoundError:
        raise AudioError("there is no such archive") from None
    except (OSError, *_UNREADABLE) as error:
        raise AudioError(f"the sound in the archive cannot be read: {error}") from None


def content_header(content: bytes) -> AudioHeader:
    """Header of an audio file that is in memory. Raises AudioError, or soundfile's errors: it is broken."""
    header = check_whole(io.BytesIO(content), len(content))
    if header is not None:
        return header
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return AudioHeader(file.samplerate, file.frames, file.channels)


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


def read_audio(entry: str | Path, hz: int | None = None) -> tuple[Wav, int]:
    """Read a wav.scp entry to mono (S,) float32 and its rate; full scale is 1, and twice that an error.

    entry: a file that soundfile reads, `file.ark:offset` or `file.tar:offset` (freeze_omni/data/archives.py), or a
        shell command that ends in `|`; a Path is a file, whatever its name.
    hz: resample to this rate; None keeps the file's.
    Raises AudioError: the file is missing, cut, empty or far beyond full scale, or the command fails.
    """
    try:
        wav, rate = _decode(entry.strip() if isinstance(entry, str) else entry)
        _check_samples(wav)
    except AudioError as error:
        fix = "" if ";" in str(error) else "; fix or remove it"
        raise AudioError(f"{entry}: {error}{fix}") from None
    except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise AudioError(f"{entry}: cannot be read as audio ({error}); fix or remove it") from None
    if wav.ndim == 2:
        wav = wav.mean(axis=1)
    wav = wav.astype(np.float32, copy=False)
    return (wav, rate) if hz is None else (resample(wav, rate, hz), hz)


def length_s(entry: str) -> float:
    """Seconds of a wav.scp entry; a file's header says it. Raises AudioError."""
    place = file_of(entry)
    if place is not None and not place[1] and os.path.exists(place[0]):
        header = read_header(place[0])
        return header.samples / header.rate_hz
    wav, hz = read_audio(entry)
    return len(wav) / hz


def _check_samples(wav: Wav) -> None:
    if not len(wav):
        raise AudioError("no samples; remove it from wav.scp")
    peak = max(-float(wav.min()), float(wav.max()))
    if not np.isfinite(peak):  # the least and the greatest are not numbers if any is not
        raise AudioError("samples are not finite numbers; convert it again")
    if peak > MOST_PEAK:
        raise AudioError(f"samples up to {peak:g}, far beyond full scale, which is 1; divide them, and write it again")


def write_wav(path: str | Path, wav: Wav, hz: int) -> None:
    """Write (S,) as 16-bit PCM, whole or not at all; samples are clipped at 1."""
    with whole_file(path) as partial:
        partial.write_bytes(encode_audio(wav, hz))


def encode_audio(wav: Wav, hz: int, kind: str = "wav") -> bytes:
    """The file, wav or flac, of (S,) in 16 bits; samples are clipped at 1."""
    content = io.BytesIO()
    soundfile.write(content, np.clip(wav, -1, 1), hz, subtype="PCM_16", format=kind.upper())
    return content.getvalue()


def resample(wav: Wav, from_hz: float, to_hz: float) -> Wav:
    """Band-limited resampling of (S,); the same rate gives the same samples."""
    if from_hz == to_hz:
        return wav
    import soxr  # only if rates differ

    return soxr.resample(wav, from_hz, to_hz).astype(np.float32, copy=False)


def change_speed(wav: Wav, factor: float, hz: int) -> Wav:
    """Play (S,) `factor` times as fast, pitch included (the usual 0.9 / 1.0 / 1.1 perturbation)."""
    return resample(wav, hz * factor, hz)


def trim_silence(wav: Wav, hz: int, keep_s: float = 0.06, floor_db: float = -45.0) -> Wav:
    """Cut silence at both ends of (S,), floor_db below the loudest 10 ms, all but `keep_s`; never all of it."""
    frame, keep = max(hz // 100, 1), int(keep_s * hz)
    loud = _loud_frames(wav, frame, floor_db)
    return wav[max(loud[0] * frame - keep, 0) : (loud[-1] + 1) * frame + keep] if len(loud) else wav


def speech_end_s(wav: Wav, hz: int, floor_db: float = -35.0) -> float:
    """Where the sound ends: the last 10 ms frame of (S,) within `floor_db` of the loudest, in seconds."""
    loud = _loud_frames(wav, int(hz * FRAME_S), floor_db)
    return float((loud[-1] + 1) * FRAME_S) if len(loud) else len(wav) / hz


def _loud_frames(wav: Wav, frame: int, floor_db: float) -> NDArray[np.intp]:
    """Numbers of the frames of (S,) within `floor_db` of the loudest; none in silence."""
    count = len(wav) // frame
    level = np.sqrt(np.mean(wav[: count * frame].reshape(count, frame) ** 2, axis=1))
    return np.flatnonzero(level > level.max(initial=0.0) * 10 ** (floor_db / 20))


def _decode(entry: str | Path) -> tuple[Wav, int]:
    """Samples (S,) or (S, channels), and their rate."""
    place = (str(entry), 0) if isinstance(entry, Path) else file_of(entry)
    if place is None:
        run = subprocess.run(str(entry)[:-1], shell=True, capture_output=True)
        if run.returncode:
            said = " ".join(run.stderr.decode(errors="replace").split())
            raise AudioError(f"the command failed: {said[-300:]}")
        return _decode_stream(run.stdout)
    path, offset = place
    if not os.path.exists(path):
        raise AudioError("no such file; fix wav.scp")
    if offset:
        return _decode_stream(read_member(path, offset))
    header = read_header(path)
    wav, rate = soundfile.read(path, dtype="float32")
    if len(wav) != header.samples:
        raise AudioError(f"{len(wav)} samples, but its header says {header.samples}; fetch or convert it again")
    return wav, rate


def load_entry(entry: str) -> Wav:
    """Samples (S,) or (S, channels) of a prepared entry, a file or a place in an archive, as they are."""
    path, offset = file_of(entry) or (entry, 0)
    if not offset:
        return soundfile.read(path, dtype="float32")[0]
    content = read_member(path, offset)
    wav = _plain_wav(content)
    return soundfile.read(io.BytesIO(content), dtype="float32")[0] if wav is None else wav


def _plain_wav(content: bytes) -> Wav | None:
    """Samples of a wav file of 16 bits with the shortest header; None: it is another file.

    As soundfile's in half the time, which is what a training's reader spends when it reads shards as fast as disks do.
    """
    if len(content) < _PLAIN.size:
        return None
    riff, _, wave, fmt, size, code, channels, _, _, _, bits, data, length = _PLAIN.unpack_from(content)
    if (riff, wave, fmt, size, code, bits, data) != (b"RIFF", b"WAVE", b"fmt ", 16, _PCM, 16, b"data") or not channels:
        return None
    count = min(length, len(content) - _PLAIN.size) // (2 * channels) * channels
    wav = np.multiply(np.frombuffer(content, "<i2", count, _PLAIN.size), np.float32(2**-15), dtype=np.float32)
    return wav if channels == 1 else wav.reshape(-1, channels)


def _decode_stream(content: bytes) -> tuple[Wav, int]:
    check_whole(io.BytesIO(content), len(content))
    return soundfile.read(io.BytesIO(content), dtype="float32")


def read_question(path: str | Path, hz: int) -> tuple[Wav, list[str]]:
    """Samples (S,) at `hz`, and notes on what was changed. Raises AudioError: no sound, cut, empty or silent."""
    try:
        header = read_header(path)
    except AudioError as error:
        raise AudioError(f"{path}: {error}; give a whole sound file (wav, flac, ogg)") from None
    wav, _ = read_audio(Path(path), hz)
    notes = []
    if header.channels > 1:
        notes.append(f"{header.channels} channels mixed to one")
    if header.rate_hz != hz:
        notes.append(f"resampled from {header.rate_hz} to {hz} Hz")
    if np.abs(wav).max() < SILENCE_PEAK:
        raise AudioError(f"{path}: silent (no sample above {SILENCE_PEAK:g}); record it again")
    return wav, notes
