"""Recorded runs (`golden.npz`): every key computed again, step by step and, if possible, in one pass.

Equal means: ids and tokens identical, floats within 1e-4 of the largest magnitude. A recording holds inputs and their
results; the same functions make a recording of a model.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from freeze_omni.released import golden_runs as runs
from freeze_omni.released.files import ReleasedError
from freeze_omni.released.golden_runs import Found, Recording
from freeze_omni.system import FreezeOmni

TOLERANCE = 1e-4  # of the largest magnitude
MOST_BYTES = 4_000_000_000  # of a recording, unpacked
INPUTS = ("wav16k", "tts_text_ids", "tf_y", "codec_tokens", "codec_in_wav")
# (how, what it computes of which inputs)
RUNS: tuple[tuple[str, tuple[str, ...], Callable[[FreezeOmni, Recording], Found]], ...] = (
    ("streaming", ("wav16k",), runs.heard_step_by_step),
    ("one pass", ("wav16k",), runs.heard_at_once),
    ("streaming", ("wav16k",), runs.dialogue_step_by_step),
    ("one pass", ("wav16k", "round0_ids", "round1_ids"), runs.dialogue_at_once),
    ("one pass", ("tts_text_ids", "round0_hidden"), runs.rows),
    ("streaming", ("tts_text_ids", "round0_hidden"), runs.tokens_step_by_step),
    ("one pass", ("tts_text_ids", "round0_hidden", "ar_tokens_prefix"), runs.tokens_at_once),
    ("streaming", ("tts_text_ids", "round0_hidden", "tf_y"), runs.forced_step_by_step),
    ("one pass", ("tts_text_ids", "round0_hidden", "tf_y"), runs.forced_at_once),
    ("streaming", ("codec_tokens",), runs.decoded_step_by_step),
    ("one pass", ("codec_tokens",), runs.decoded_at_once),
    ("one pass", ("codec_in_wav",), runs.encoded),
    ("streaming", ("tts_text_ids", "round0_hidden"), runs.streamed),
)


class Check(NamedTuple):
    """One key computed in one way. error: of the largest magnitude; for ids 0 or infinite."""

    key: str
    how: str
    error: float

    @property
    def right(self) -> bool:
        return self.error <= TOLERANCE


def read_recording(path: str | Path) -> dict[str, np.ndarray]:
    """Raises ReleasedError for a file that is missing, broken, or holds more than arrays of numbers."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:  # its stated sizes, before anything is unpacked
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise ReleasedError(f"{path}: holds more than {MOST_BYTES / 1e9:.0f} GB")
        with np.load(path, allow_pickle=False) as file:
            recording = {key: file[key] for key in file.files}
    except ReleasedError:
        raise
    except FileNotFoundError:
        raise ReleasedError(f"{path}: no such recording") from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ReleasedError(f"{path}: no recording of arrays in npz form, or a broken one ({error})") from None
    for key, value in recording.items():
        if value.dtype.kind not in "iuf":
            raise ReleasedError(f"{path}: {key} holds no numbers ({value.dtype})")
    return recording


@torch.no_grad()
def check(model: FreezeOmni, recording: Recording) -> Iterator[Check]:
    """Compare key by key, as computed. Raises ReleasedError: nothing here computes a key, or its inputs are missing."""
    wanted = set(recording) - set(INPUTS)
    for how, needed, run in RUNS:
        if not set(needed) <= set(recording):
            continue
        for key, found in run(model, recording):
            if key in recording:
                wanted.discard(key)
                yield Check(key, how, largest_error(found, recording[key]))
    if wanted:
        raise ReleasedError(f"nothing recomputes {', '.join(sorted(wanted))}: unknown keys, or inputs that are missing")


@torch.no_grad()
def record(model: FreezeOmni, inputs: Recording) -> dict[str, np.ndarray]:
    """A recording of our own from the inputs, step by step where possible."""
    recording = dict(inputs)
    for _, needed, run in sorted(RUNS, key=lambda one: one[0] != "streaming"):
        if set(needed) <= set(recording):
            for key, found in run(model, recording):
                recording.setdefault(key, found)
    return recording


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a share of the largest magnitude; infinite for another shape, other ids, or no number."""
    if found.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind in "iu":
        return 0.0 if np.array_equal(found, expected) else float("inf")
    if not expected.size:
        return 0.0
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    largest = float(np.abs(expected).max())
    if not np.isfinite(difference):
        return float("inf")
    return difference / largest if largest else float("inf") if difference else 0.0
