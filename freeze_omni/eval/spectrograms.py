"""Spectrograms in pairs: original speech above, what the codec made of it below."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.eval.decode.codec import COPY, ORIGINAL
from freeze_omni.eval.figures import Picture, new_figure, save_figure

_WINDOW_S = 0.032
_RANGE_DB = 80.0


def spectrogram_db(wav: np.ndarray, hz: int) -> np.ndarray:
    """(S,) samples to (frequencies, frames) in dB below the loudest, from -80 to 0."""
    size = 2 * round(_WINDOW_S * hz / 2)
    padded = np.pad(wav, (0, max(size - len(wav), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4] * np.hanning(size)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-9)
    return np.clip(level - level.max(), -_RANGE_DB, 0.0).T


def spectrogram_pairs(folder: Path, output: Path, count: int = 2) -> list[Picture]:
    """Of a decoding folder of the codec; nothing where it is not there."""
    tables = [folder / name / "wav.scp" for name in (ORIGINAL, COPY)]
    if not all(path.exists() for path in tables):
        return []
    originals, copies = (read_table(path) for path in tables)
    keys = [key for key in originals if key in copies][:count]
    if not keys:
        return []
    figure, grid = new_figure(4 * len(keys), 4, rows=2, columns=len(keys))
    grid = np.asarray(grid).reshape(2, len(keys))
    for row, (name, table) in enumerate((("original", originals), ("copy", copies))):
        for axes, key in zip(grid[row], keys, strict=True):
            wav, hz = read_audio(table[key])
            extent = (0, len(wav) / hz, 0, hz / 2000)
            axes.imshow(spectrogram_db(wav, hz), origin="lower", aspect="auto", extent=extent, cmap="magma")
            axes.set(ylabel="kHz", title=f"{key}: {name}")
            axes.title.set_fontsize(8)
    return [("Originals and the codec's copies", save_figure(figure, output / "spectrograms.png"))]
