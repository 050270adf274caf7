"""Back-ends by name, and the voices available on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.tts.base import Backend, TtsError
from freeze_omni.data.tts.kokoro import Kokoro, voice_names
from freeze_omni.data.tts.piper import Piper
from freeze_omni.data.tts.program import PROGRAMS, Program, find_program

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
FESTIVAL_HTS = "cmu_us_slt_arctic_hts"


def default_cache() -> Path:
    """The folder of fetched parts and spoken sentences: $FREEZE_OMNI_CACHE or ~/.cache/freeze_omni."""
    return Path(os.environ.get("FREEZE_OMNI_CACHE") or Path.home() / ".cache/freeze_omni")


@dataclass(frozen=True)
class TtsFolders:
    """Where the parts are. `program`: your own command line (see program.Program)."""

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
    path = find_program(program, (str(folders.of("flite")),))
    if path is None:
        raise TtsError(f"{program} is not on PATH; install it, or leave its voices out")
    return Program(template, version, path)


def backend_version(name: str, folders: TtsFolders) -> str:
    """The version that enters cache keys, without loading a model."""
    return {"kokoro": Kokoro.version, "piper": Piper.version}.get(name) or make_backend(name, folders).version


def available_voices(folders: TtsFolders) -> dict[str, list[str]]:
    """Back-end -> voices available here (espeak-ng: some of its variants)."""
    found: dict[str, list[str]] = {}
    if (folders.of("kokoro") / "kokoro.onnx").exists():
        found["kokoro"] = voice_names(folders.of("kokoro"))
    found["piper"] = sorted(path.stem for path in folders.of("piper_joe").glob("*.onnx"))
    if find_program("flite", (str(folders.of("flite")),)):
        found["flite"] = list(FLITE_VOICES)
    if find_program("text2wave") and Path("/usr/share/festival/voices/us", FESTIVAL_HTS).exists():
        found["festival"] = [FESTIVAL_HTS]
    if find_program("espeak-ng"):
        variants = ("m1", "m3", "m7", "f1", "f2", "f4")
        found["espeak"] = [f"{accent}+{v}" for accent in ("en-us", "en-gb") for v in variants]
    return {name: voices for name, voices in found.items() if voices}
