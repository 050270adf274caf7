"""Audio in and out: any wav.scp entry to mono float32, resampling, trimming, 16-bit wav files."""

import io
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from freeze_omni.data.audio_header import AudioError, check_whole, read_header
from freeze_omni.data.audio_header import AudioHeader as AudioHeader
from freeze_omni.data.tables import whole_file

Wav = NDArray[np.float32]
SILENCE_PEAK = 1e-3
FRAME_S = 0.01
MOST_PEAK = 2.0  # lossy codecs exceed 1 a little; integers that were written as floats by far
_IN_ARCHIVE = re.compile(r"(.+\.ark):([0-9]+)")


def read_audio(entry: str | Path, hz: int | None = None) -> tuple[Wav, int]:
    """Read a wav.scp entry to mono (S,) float32 and its rate; full scale is 1, and twice that an error.

    entry: a file that soundfile reads, `file.ark:offset`, or a shell command that ends in `|`; a Path is a file,
        whatever its name.
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


def file_of(entry: str) -> tuple[str, int] | None:
    """The file of a wav.scp entry, and where in it a sound of an archive begins (0: the whole); None for a command."""
    if entry.endswith("|"):
        return None
    archive = _IN_ARCHIVE.fullmatch(entry)
    return (archive[1], int(archive[2])) if archive else (entry, 0)


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
        with open(path, "rb") as stream:  # a wav or flac file begins at the offset
            stream.seek(offset)
            return _decode_stream(stream.read())
    header = read_header(path)
    wav, rate = soundfile.read(path, dtype="float32")
    if len(wav) != header.samples:
        raise AudioError(f"{len(wav)} samples, but its header says {header.samples}; fetch or convert it again")
    return wav, rate


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
