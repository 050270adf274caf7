"""Audio in and out: any wav.scp entry to mono float32, resampling, trimming, 16-bit wav files."""

from __future__ import annotations

import io
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from freeze_omni.data.tables import whole_file

Wav = NDArray[np.float32]
SILENCE_PEAK = 1e-3
FRAME_S = 0.01
UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000 - 44)  # written by programs that stream
HEAD_BYTES = 4096


class AudioError(ValueError):
    """Audio that cannot be used; the text says why, and the fix."""


def read_audio(entry: str, hz: int | None = None) -> tuple[Wav, int]:
    """Read a wav.scp entry to mono (S,) float32 in [-1, 1] and its rate.

    entry: a file that soundfile reads, `file.ark:offset`, or a shell command that ends in `|`.
    hz: resample to this rate; None keeps the file's.
    Raises AudioError: the file is missing, truncated, empty, or the command fails.
    """
    try:
        wav, rate = _decode(entry.strip())
    except AudioError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise AudioError(f"{entry}: cannot be read as audio ({error}); fix or remove it") from None
    if wav.ndim == 2:
        wav = wav.mean(axis=1)
    if not len(wav):
        raise AudioError(f"{entry}: no samples; remove it from wav.scp")
    if not np.isfinite(wav).all():
        raise AudioError(f"{entry}: samples are not finite numbers; convert it again")
    wav = wav.astype(np.float32, copy=False)
    return (wav, rate) if hz is None else (resample(wav, rate, hz), hz)


def write_wav(path: str | Path, wav: Wav, hz: int) -> None:
    """Write (S,) as 16-bit PCM, whole or not at all; samples are clipped at 1."""
    with whole_file(path) as partial:
        soundfile.write(partial, np.clip(wav, -1, 1), hz, subtype="PCM_16", format="WAV")


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


def _decode(entry: str) -> tuple[Wav, int]:
    if entry.endswith("|"):
        run = subprocess.run(entry[:-1], shell=True, capture_output=True)
        if run.returncode:
            raise AudioError(f"{entry}: the command failed: {run.stderr.decode(errors='replace')[-300:]}")
        return soundfile.read(io.BytesIO(run.stdout), dtype="float32")
    path, _, offset = entry.rpartition(":")
    if offset.isdigit() and path.endswith(".ark"):
        with open(path, "rb") as stream:  # a wav or flac file begins at the offset
            stream.seek(int(offset))
            return soundfile.read(io.BytesIO(stream.read()), dtype="float32")
    if not os.path.exists(entry):
        raise AudioError(f"{entry}: no such file; fix wav.scp")
    wav, rate = soundfile.read(entry, dtype="float32")
    if len(wav) < soundfile.info(entry).frames:
        raise AudioError(f"{entry}: truncated; fetch it again")
    return wav, rate


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
    is_wav = head[:4] == b"RIFF" and head[8:12] == b"WAVE"
    header = (wav_header(head, size) if is_wav else None) or other_header(path)
    if header.samples == 0:
        raise AudioError("the audio file has no samples")
    return header


def wav_header(head: bytes, size: int) -> AudioHeader | None:
    """Walk the chunks of a wav file of `size` bytes; None if `data` starts after `head`."""
    # soundfile cannot tell that a file is cut: it takes the length from what is left
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


def read_question(path: str | Path, hz: int) -> tuple[Wav, list[str]]:
    """Samples (S,) at `hz`, and notes on what was changed. Raises AudioError: no sound, cut, empty or silent."""
    try:
        header = read_header(path)
    except AudioError as error:
        raise AudioError(f"{path}: {error}; give a whole sound file (wav, flac, ogg)") from None
    wav, _ = read_audio(str(path), hz)
    notes = []
    if header.channels > 1:
        notes.append(f"{header.channels} channels mixed to one")
    if header.rate_hz != hz:
        notes.append(f"resampled from {header.rate_hz} to {hz} Hz")
    if np.abs(wav).max() < SILENCE_PEAK:
        raise AudioError(f"{path}: silent (no sample above {SILENCE_PEAK:g}); record it again")
    return wav, notes
