"""Speak many sentences in parallel, each once: the cache is addressed by text, voice and version."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.audio import trim_silence, write_wav
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tts.backends import PROGRAMS, Backend, Kokoro, Piper, Program, TtsError, Voice, find_program

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
FESTIVAL_HTS = "cmu_us_slt_arctic_hts"


def default_cache() -> Path:
    """The folder of fetched parts and spoken sentences: $FREEZE_OMNI_CACHE or ~/.cache/freeze_omni."""
    return Path(os.environ.get("FREEZE_OMNI_CACHE") or Path.home() / ".cache/freeze_omni")


@dataclass(frozen=True)
class TtsFolders:
    """Where the parts are. `program`: your own command line (see backends.Program)."""

    cache: str = ""
    kokoro: str = ""
    piper: str = ""
    flite: str = ""
    program: str = ""

    def of(self, part: str) -> Path:
        """The folder of kokoro, piper_joe or flite: as given, else of the environment, else in the cache."""
        name = part.partition("_")[0]
        own = getattr(self, name) or os.environ.get(f"FREEZE_OMNI_{name.upper()}_DIR", "")
        return Path(own) if own else Path(self.cache or default_cache()) / part


def make_backend(name: str, folders: TtsFolders) -> Backend:
    """Make the back-end `name`: kokoro, piper, flite, espeak, festival or program. Raises TtsError."""
    if name == "kokoro":
        return Kokoro(folders.of("kokoro"))
    if name == "piper":
        return Piper(folders.of("piper_joe"), folders.of("kokoro") / "g2p")
    if name == "program" and folders.program:
        return Program(folders.program)
    if name not in PROGRAMS:
        raise TtsError(f"no back-end '{name}'; known: kokoro, piper, program, {', '.join(PROGRAMS)}")
    program, version, template = PROGRAMS[name]
    path = find_program(program, folders.of("flite"))
    if path is None:
        raise TtsError(f"{program} is not on PATH; install it, or leave its voices out")
    return Program(template, version, path)


def voice_of_command(given: str) -> tuple[str, str]:
    """The voice and the program that an option names: in `program:COMMAND`, with {output} in it, both."""
    backend, _, command = given.partition(":")
    return ("program:command", command) if backend == "program" and "{output}" in command else (given, "")


def available_voices(folders: TtsFolders) -> dict[str, list[str]]:
    """Back-end -> voices available here (espeak-ng: some of its variants)."""
    found: dict[str, list[str]] = {}
    if (folders.of("kokoro") / "kokoro.onnx").exists():
        found["kokoro"] = Kokoro.voices(folders.of("kokoro"))
    found["piper"] = sorted(path.stem for path in folders.of("piper_joe").glob("*.onnx"))
    if find_program("flite", folders.of("flite")):
        found["flite"] = list(FLITE_VOICES)
    if shutil.which("text2wave") and Path("/usr/share/festival/voices/us", FESTIVAL_HTS).exists():
        found["festival"] = [FESTIVAL_HTS]
    if shutil.which("espeak-ng"):
        variants = ("m1", "m3", "m7", "f1", "f2", "f4")
        found["espeak"] = [f"{accent}+{v}" for accent in ("en-us", "en-gb") for v in variants]
    return {name: voices for name, voices in found.items() if voices}


_LOUDEST = 0.9
_BATCH = {"kokoro": 2, "piper": 8}  # sentences a task: slow voices in small ones
_QUICK_BATCH = 16
_kept_backend = functools.cache(make_backend)


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

    Silence at both ends is cut to 60 ms. A killed run loses only the sentences in progress.
    Raises TtsError: a back-end or voice that is not available, or text that cannot be spoken.
    """
    paths = spoken_paths(jobs, folders)
    missing = {paths[job.utterance]: job for job in reversed(jobs) if not paths[job.utterance].exists()}
    work = functools.partial(_speak_into, folders=folders)
    for name in sorted({job.voice.backend for job in jobs}):
        todo = [(job, path) for path, job in missing.items() if job.voice.backend == name]
        todo.sort(key=lambda pair: -len(pair[0].text))  # the long ones first: no straggler at the end
        for _ in parallel_map(work, todo, nj, f"speaking with {name}", chunk=_BATCH.get(name, _QUICK_BATCH)):
            pass
    return paths


def spoken_paths(jobs: Sequence[Job], folders: TtsFolders) -> dict[str, Path]:
    """Utterance -> the wav file that `synthesize` writes, or has written. Raises TtsError."""
    cache = Path(folders.cache) if folders.cache else default_cache()
    known = {"kokoro": Kokoro.version, "piper": Piper.version}  # without loading a model
    names = {job.voice.backend for job in jobs}
    versions = {name: known.get(name) or make_backend(name, folders).version for name in names}
    return {job.utterance: cached_path(job, versions[job.voice.backend], cache) for job in jobs}


def _speak_into(todo: tuple[Job, Path], folders: TtsFolders) -> None:
    job, path = todo
    wav, hz = _kept_backend(job.voice.backend, folders).speak(job.text, job.voice.name, job.voice.speed)
    wav = trim_silence(wav, hz)
    peak = float(abs(wav).max()) if len(wav) else 0.0
    if peak < 1e-3:
        raise TtsError(f"{job.voice} made only silence of '{job.text}'; use another voice")
    write_wav(path, wav * (_LOUDEST / peak if peak > _LOUDEST else 1.0), hz)
