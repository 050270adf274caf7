"""Audio in and out: any wav.scp entry to mono float32, resampling, trimming, 16-bit wav files."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from freeze_omni.data.tables import whole_file

Wav = NDArray[np.float32]


class AudioError(ValueError):
    """Audio that cannot be used; the text says why, and the fix."""


def read_audio(entry: str, hz: int | None = None) -> tuple[Wav, int]:
    """Read a wav.scp entry to mono (S,) float32 in [-1, 1] and its rate.

    entry: a file that soundfile reads, `file.ark:offset`, or a shell command that ends in `|`.
    hz: resample to this rate; None keeps the file's.
    Raises:
        AudioError: the file is missing, truncated, empty, or the command fails.
    """
    try:
        wav, rate = _decode(entry.strip())
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
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
    """Cut silence at both ends of (S,), below floor_db of the loudest 10 ms frame, but keep `keep_s` of it.

    Audio that is silent throughout is returned unchanged.
    """
    frame = max(hz // 100, 1)
    count = len(wav) // frame
    if count == 0:
        return wav
    level = np.sqrt(np.mean(wav[: count * frame].reshape(count, frame) ** 2, axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (floor_db / 20)) if level.max() > 0 else np.zeros(0, int)
    if not len(loud):
        return wav
    keep = int(keep_s * hz)
    return wav[max(loud[0] * frame - keep, 0) : (loud[-1] + 1) * frame + keep]


def _decode(entry: str) -> tuple[NDArray[np.float32], int]:
    if entry.endswith("|"):
        run = subprocess.run(entry[:-1], shell=True, capture_output=True)
        if run.returncode:
            raise AudioError(f"{entry}: the command failed: {run.stderr.decode(errors='replace')[-300:]}")
        return soundfile.read(io.BytesIO(run.stdout), dtype="float32")
    path, _, offset = entry.rpartition(":")
    if offset.isdigit() and path.endswith(".ark"):
        return _decode_ark(path, int(offset))
    if not os.path.exists(entry):
        raise AudioError(f"{entry}: no such file; fix wav.scp")
    wav, rate = soundfile.read(entry, dtype="float32")
    if len(wav) < soundfile.info(entry).frames:
        raise AudioError(f"{entry}: truncated; fetch it again")
    return wav, rate


def _decode_ark(path: str, offset: int) -> tuple[NDArray[np.float32], int]:
    """Audio stored in an ark: a wav or flac file begins at the offset."""
    with open(path, "rb") as stream:
        stream.seek(offset)
        return soundfile.read(io.BytesIO(stream.read()), dtype="float32")
