"""A user's sound file: to mono samples at the model's rate, with a note on all that was changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from freeze_omni.data.audio import AudioError, read_audio
from freeze_omni.data.audio_header import read_header

SILENCE_PEAK = 1e-3
FRAME_S = 0.01


def read_question(path: str | Path, hz: int) -> tuple[np.ndarray, list[str]]:
    """Samples (S,) float32 at `hz`, and notes on what was changed (rate, channels).

    Raises AudioError, with the file and the fix: missing, truncated, not a sound file, empty or silent.
    """
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


def speech_end_s(wav: np.ndarray, hz: int, floor_db: float = -35.0) -> float:
    """Where the sound ends: the last 10 ms frame of (S,) within `floor_db` of the loudest, in seconds."""
    frame = int(hz * FRAME_S)
    count = len(wav) // frame
    if count == 0:
        return len(wav) / hz
    level = np.sqrt(np.mean(np.square(wav[: count * frame].reshape(count, frame)), axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (floor_db / 20))
    return float((loud[-1] + 1) * FRAME_S) if len(loud) else len(wav) / hz
