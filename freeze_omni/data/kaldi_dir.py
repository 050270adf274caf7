"""Write a whole Kaldi directory at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import soundfile

from freeze_omni.data.tables import write_speakers, write_table
from freeze_omni.data.tts.synthesize import Job


def write_set(
    folder: str | Path,
    wavs: Mapping[str, object],
    texts: Mapping[str, str],
    utt2spk: Mapping[str, str],
) -> None:
    """Write wav.scp, text, utt2spk and spk2utt, sorted by id."""
    folder = Path(folder)
    write_table(folder / "wav.scp", wavs)
    write_table(folder / "text", texts)
    write_speakers(folder, utt2spk)


def write_spoken_set(folder: str | Path, jobs: Sequence[Job], paths: Mapping[str, Path]) -> float:
    """Write the directory of what was spoken; returns its seconds of speech."""
    ids = [job.utterance for job in jobs]
    write_set(
        folder,
        {utterance: paths[utterance] for utterance in ids},
        {job.utterance: job.text for job in jobs},
        {job.utterance: job.voice.speaker for job in jobs},
    )
    return sum(soundfile.info(paths[utterance]).duration for utterance in ids)
