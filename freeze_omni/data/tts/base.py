"""The interface of a synthesiser, and how a voice is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.data.audio import Wav


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
    """An ONNX model on one core: many processes are faster than many threads here.

    Raises TtsError if the file or onnxruntime is missing.
    """
    if not path.exists():
        raise TtsError(f"{path}: no such file; run tools/installers/{installer}")
    try:
        import onnxruntime
    except ImportError:
        raise TtsError("this voice needs onnxruntime: pip install 'freeze-omni[train]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
