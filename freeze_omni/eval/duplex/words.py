"""Words of a system's sound with their times, by an independent recogniser, in output.json as benchmarks read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import read_audio
from freeze_omni.eval.duplex.outputs import read_json, write_json
from freeze_omni.eval.duplex.scene import Scene
from freeze_omni.eval.duplex.segments import speech_segments
from freeze_omni.eval.judge import RATE_HZ, Word
from freeze_omni.eval.suites.full_duplex_bench import as_content


def transcribe(outputs: Path, scenes: Sequence[Scene], words: Callable[[np.ndarray], list[Word]]) -> int:
    """Put `text` and `chunks` beside every output.wav that has no words yet; returns how many got them.

    words: of (S,) samples at 16 kHz. It is not asked of silence, for which recognisers make words up.
    """
    done = 0
    for scene in scenes:
        folder = outputs / scene.id
        if not (folder / "output.wav").is_file() or "chunks" in (told := read_json(folder / "output.json")):
            continue
        wav, hz = read_audio(str(folder / "output.wav"), RATE_HZ)
        found = words(wav) if speech_segments(wav, hz) else []
        write_json(folder / "output.json", told | as_content(found))
        done += 1
    return done
