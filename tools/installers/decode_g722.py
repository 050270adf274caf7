#!/usr/bin/env python3
"""Decode every *.g722 file under a folder (64 kbit/s, 16 kHz mono) to 16-bit wav files."""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np
import soundfile

RATE_HZ = 16000


def decode(path: Path) -> np.ndarray:
    """The samples of one file, int16."""
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames) if frames else np.zeros(0, np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    for path in sorted(args.source.rglob("*.g722")):
        samples = decode(path)
        if not len(samples):
            continue
        out = (args.target / path.relative_to(args.source)).with_suffix(".wav")
        out.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(out, samples, RATE_HZ)


if __name__ == "__main__":
    main()
