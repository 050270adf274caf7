"""Broken audio headers: 2,000 generated files, each of them a result or one clear error."""

from __future__ import annotations

import io
import random
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni.data.audio import AudioError, read_audio, read_header

FORMS = [  # (format, coding) of soundfile
    *[("WAV", coding) for coding in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")],
    *[("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16")],
    *[("NIST", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("CAF", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
]
NUMBERS = [0, 1, 2, 0x7FFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF]
EACH = 112  # times 18 forms: 2,016


def whole(form: str, coding: str) -> bytes:
    stream = io.BytesIO()
    wav = 0.1 * np.random.default_rng(0).standard_normal(2000)
    soundfile.write(stream, wav, 8000, format=form, subtype=coding)
    return stream.getvalue()


def broken(content: bytes, rng: random.Random) -> bytes:
    """One to three faults, most of them in the header."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = min(int(rng.expovariate(1 / 40)), len(found) - 8)
        kind = rng.choice(["byte", "number", "big", "cut", "insert", "remove", "append", "zeros"])
        if kind == "byte":
            found[at] = rng.randrange(256)
        elif kind in ("number", "big"):
            struct.pack_into("<I" if kind == "number" else ">I", found, at, rng.choice(NUMBERS))
        elif kind == "cut":
            del found[rng.randrange(8, len(found)) :]
        elif kind == "insert":
            found[at:at] = rng.randbytes(rng.randint(1, 40))
        elif kind == "remove":
            del found[at : at + rng.randint(1, 12)]
        elif kind == "append":
            found += rng.randbytes(rng.randint(1, 500))
        else:
            found[at : at + 16] = bytes(min(16, len(found) - at))
        if len(found) < 16:
            break
    return bytes(found)


@pytest.mark.parametrize(("form", "coding"), FORMS, ids=map("-".join, FORMS))
def test_a_broken_header_gives_a_result_or_one_clear_error(tmp_path: Path, form: str, coding: str) -> None:
    rng, content = random.Random(f"{form} {coding}"), whole(form, coding)
    path = tmp_path / f"x.{rng.choice(['wav', 'flac', 'sph', 'bin'])}"
    read = 0
    for _ in range(EACH):
        path.write_bytes(broken(content, rng))
        read += one_result(path) is not None
    assert 0 < read < EACH, "some are still read, and some refused"


def one_result(path: Path) -> int | None:
    """Samples of the file; None if it was refused with one line. The header and the reader may not differ."""
    try:
        header = read_header(path)
    except AudioError as error:
        assert str(error) and "\n" not in str(error) and "Traceback" not in str(error)
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's: a warning is no error that a user can read
            wav, rate = read_audio(path)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return None
    assert (len(wav), rate) == (header.samples, header.rate_hz) and np.isfinite(wav).all()
    return len(wav)
