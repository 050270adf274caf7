"""The echo reference of a dialogue set: reference.scp, and its archive, with a row of features for each chunk."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from omniio import kaldi

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.duplex.reference import SIZE, EchoReference
from freeze_omni.rates import Rates


def write_reference(folder: Path, played: Mapping[str, Path], rates: Rates | None = None) -> None:
    """Of all scenes of a set (wav.scp, utt2num_samples); played: the sound of the system, where there is any. A set
    without any has no such table. Raises AudioError, TableError."""
    rates, ark, scp = rates or Rates(), folder / "reference.ark", folder / "reference.scp"
    if not played:
        ark.unlink(missing_ok=True)
        scp.unlink(missing_ok=True)
        return
    reference, wavs = EchoReference(rates.chunk_samples, sample_hz=rates.input_hz), read_table(folder / "wav.scp")
    with kaldi.WriteHelper(f"ark,scp:{ark.resolve()},{scp}") as writer:
        for key, samples in read_table(folder / "utt2num_samples").items():
            rows = np.zeros((int(samples) // rates.chunk_samples, SIZE), np.float32)
            if key in played:
                sides = (read_audio(str(path), rates.input_hz)[0] for path in (wavs[key], played[key]))
                heard, own = (torch.from_numpy(side[: len(rows) * rates.chunk_samples])[None] for side in sides)
                rows = reference(heard, own)[0].numpy()
            writer[key] = rows
