"""Speak many sentences in parallel, each once: the cache is addressed by text, voice and version."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.audio import trim_silence, write_wav
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tts.base import Backend, TtsError, Voice
from freeze_omni.data.tts.registry import TtsFolders, backend_version, default_cache, make_backend

_LOUDEST = 0.9
_BATCH = {"kokoro": 2, "piper": 8}  # sentences a task: slow voices in small ones
_QUICK_BATCH = 16


@dataclass(frozen=True)
class Job:
    """One sentence to be spoken."""

    utterance: str
    text: str
    voice: Voice


def cached_path(job: Job, version: str, cache: Path) -> Path:
    """The cached file of `job`, named by a hash of text, voice, speed and back-end version."""
    asked = json.dumps([job.text, str(job.voice), version], ensure_ascii=False)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return cache / "tts" / digest[:2] / f"{digest}.wav"


def synthesize(jobs: Sequence[Job], folders: TtsFolders, nj: int = 1) -> dict[str, Path]:
    """Speak what is not in the cache; utterance -> wav file (16 bit, the voice's own rate).

    Silence at both ends is cut to 60 ms, so that the speech ends with the file. A killed run loses only the sentences
    in progress.
    Raises:
        TtsError: a back-end or voice that is not available, or text that cannot be spoken.
    """
    cache = Path(folders.cache) if folders.cache else default_cache()
    versions = {name: backend_version(name, folders) for name in {job.voice.backend for job in jobs}}
    paths = {job.utterance: cached_path(job, versions[job.voice.backend], cache) for job in jobs}
    missing: dict[Path, Job] = {}
    for job in jobs:
        if not paths[job.utterance].exists():
            missing.setdefault(paths[job.utterance], job)
    by_backend: dict[str, list[tuple[Job, Path]]] = {}
    for path, job in missing.items():
        by_backend.setdefault(job.voice.backend, []).append((job, path))
    for name, todo in sorted(by_backend.items()):
        todo.sort(key=lambda pair: -len(pair[0].text))  # the long ones first: no straggler at the end
        size = _BATCH.get(name, _QUICK_BATCH)
        work = functools.partial(_speak_into, folders=folders)
        for _ in parallel_map(work, todo, nj, f"speaking with {name}", chunk=size):
            pass
    return paths


@functools.cache
def _backend(name: str, folders: TtsFolders) -> Backend:
    return make_backend(name, folders)


def _speak_into(todo: tuple[Job, Path], folders: TtsFolders) -> None:
    job, path = todo
    wav, hz = _backend(job.voice.backend, folders).speak(job.text, job.voice.name, job.voice.speed)
    wav = trim_silence(wav, hz)
    peak = float(abs(wav).max()) if len(wav) else 0.0
    if peak < 1e-3:
        raise TtsError(f"{job.voice} made only silence of '{job.text}'; use another voice")
    write_wav(path, wav * (_LOUDEST / peak if peak > _LOUDEST else 1.0), hz)
