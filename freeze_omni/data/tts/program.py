"""Synthesisers that are programs: flite, espeak-ng, festival, or any command line."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from freeze_omni.data.audio import Wav, read_audio
from freeze_omni.data.tts.base import TtsError

_TIMEOUT_S = 60
_NORMAL_WORDS_A_MINUTE = 165
CommandLine = Callable[[str, str, float, str], tuple[list[str], str]]


class Program:
    """speak() runs the program for each sentence and reads the wav file that it writes."""

    def __init__(self, version: str, command_line: CommandLine) -> None:
        self.version = version
        self._command_line = command_line

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "speech.wav"))
            command, stdin = self._command_line(text, voice, speed, path)
            run = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=_TIMEOUT_S)
            if run.returncode or not Path(path).exists():
                tail = run.stderr.decode(errors="replace")[-300:]
                raise TtsError(f"`{shlex.join(command)}` failed: {tail or 'it wrote no file'}")
            return read_audio(path)


def find_program(name: str, folders: tuple[str, ...] = ()) -> str | None:
    """The program's path: in one of `folders`, else on PATH; None if not found."""
    for folder in folders:
        if Path(folder, name).exists():
            return str(Path(folder, name))
    return shutil.which(name)


def flite(program: str) -> Program:
    """Voices slt, rms, awb, kal16 (16 kHz)."""

    def line(text: str, voice: str, speed: float, path: str) -> tuple[list[str], str]:
        stretch = f"duration_stretch={1 / speed:.3f}"
        return [program, "-voice", voice, "--setf", stretch, "-t", text, "-o", path], ""

    return Program("flite-2.2", line)


def espeak(program: str) -> Program:
    """Voices `language+variant`, as in en-us+f3 (22.05 kHz)."""

    def line(text: str, voice: str, speed: float, path: str) -> tuple[list[str], str]:
        rate = str(round(_NORMAL_WORDS_A_MINUTE * speed))
        return [program, "-v", voice, "-s", rate, "-w", path, "--stdin"], text

    return Program("espeak-ng-1.51", line)


def festival(program: str) -> Program:
    """Voices by festival's name without `voice_`, as in cmu_us_slt_arctic_hts."""

    def line(text: str, voice: str, speed: float, path: str) -> tuple[list[str], str]:
        setting = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {1 / speed:.3f}))"
        return [program, "-eval", setting, "-o", path], text

    return Program("festival-2.5", line)


def any_program(template: str) -> Program:
    """A command line with {voice}, {speed} and {output}; it gets the text on stdin."""

    def line(text: str, voice: str, speed: float, path: str) -> tuple[list[str], str]:
        return shlex.split(template.format(voice=voice, speed=f"{speed:g}", output=path)), text

    return Program(template, line)
