"""Synthesisers that are programs: flite, espeak-ng, festival, or any command line."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from freeze_omni.data.audio import Wav, read_audio
from freeze_omni.data.tts.base import TtsError

_TIMEOUT_S = 60
_NORMAL_WORDS_A_MINUTE = 165
# back-end -> the program on PATH, its version, and its command line; all read the text from stdin or from {text}
PROGRAMS = {
    # voices slt, rms, awb, kal16 (16 kHz)
    "flite": ("flite", "flite-2.2", "{program} -voice {voice} --setf duration_stretch={stretch} -t {text} -o {output}"),
    # voices `language+variant`, as en-us+f3 (22.05 kHz)
    "espeak": ("espeak-ng", "espeak-ng-1.51", "{program} -v {voice} -s {rate} -w {output} --stdin"),
    # festival's names without `voice_`, as cmu_us_slt_arctic_hts
    "festival": (
        "text2wave",
        "festival-2.5",
        """{program} -eval "(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch}))" -o {output}""",
    ),
}


class Program:
    """speak() runs a command line for each sentence and reads the wav file that it writes.

    template: with {output}, and optionally {voice}, {speed}, {stretch} (1 / speed), {rate} (words a minute) and {text};
    the program also gets the text on stdin.
    """

    def __init__(self, template: str, version: str = "", program: str = "") -> None:
        self.version = version or template
        self._words, self._program = shlex.split(template), program

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "speech.wav"))
            fields = {"stretch": f"{1 / speed:.3f}", "rate": str(round(_NORMAL_WORDS_A_MINUTE * speed))}
            fields |= {"program": self._program, "voice": voice, "speed": f"{speed:g}", "text": text, "output": path}
            command = [word.format(**fields) for word in self._words]
            run = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S)
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
