"""DNSMOS: how good speech sounds, estimated by a network from the sound alone (Reddy et al. 2022; P.835 and P.808).

The models are those of the package speechmos, read by onnxruntime. As there, windows of 9.01 s begin each second, and
the score is the mean. A shorter clip is repeated until it fills a window, and judged once; the package judges
the repetitions, too, which costs several times as much for no information.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16000
SCALES = ("overall", "signal", "background", "p808")
_WINDOW_S, _HOP_S = 9.01, 1.0
# From the network's outputs to opinion scores: coefficients published with it.
_POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
_MEL = {"sr": RATE_HZ, "n_fft": 321, "hop_length": 160, "n_mels": 120}


class Dnsmos:
    """Mean opinion scores from 1 to 5.

    Args:
        folder: holds sig_bak_ovr.onnx and model_v8.onnx (tools/installers/get_dnsmos.sh).
    Raises:
        ImportError: onnxruntime or librosa is not installed.
    """

    name = "dnsmos"

    def __init__(self, folder: Path, threads: int = 1) -> None:
        try:
            import librosa  # noqa: F401  (fails here, before any clip is read)
            import onnxruntime
        except ImportError as error:
            raise ImportError(f"DNSMOS needs {error.name}: pip install 'freeze-omni[train,synth]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(threads, 1)
        options.inter_op_num_threads = 1

        def session(file: str) -> Any:
            return onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])

        self._p835, self._p808 = session("sig_bak_ovr.onnx"), session("model_v8.onnx")

    def measure(self, wav: NDArray[np.float32]) -> dict[str, float]:
        """Scores by the names of SCALES, of (S,) samples at 16 kHz; no samples count as silence."""
        found = [self._window(window) for window in windows(wav)]
        return {name: round(float(np.mean([one[name] for one in found])), 4) for name in SCALES}

    def _window(self, window: NDArray[np.float32]) -> dict[str, float]:
        signal, background, overall = self._p835.run(None, {"input_1": window[None]})[0][0]
        p808 = self._p808.run(None, {"input_1": log_mel(window[:-160])[None]})[0][0][0]
        raw = {"signal": signal, "background": background, "overall": overall}
        return {name: float(np.polyval(_POLYNOMIALS[name], value)) for name, value in raw.items()} | {
            "p808": float(p808)
        }


def windows(wav: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Windows (144160,) of a clip (S,), one a second; a shorter clip is doubled until it fills one."""
    size = int(_WINDOW_S * RATE_HZ)
    wav = np.clip(wav if len(wav) else np.zeros(1), -1, 1).astype(np.float32)
    if len(wav) < size:
        while len(wav) < size:
            wav = np.concatenate([wav, wav])
        return [wav[:size]]
    count = int(len(wav) // RATE_HZ - _WINDOW_S) + 1
    hop = int(_HOP_S * RATE_HZ)
    starts = range(0, max(count, 1) * hop, hop)
    return [wav[start : start + size] for start in starts if start + size <= len(wav)]


def log_mel(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """The P.808 network's features (frames, 120): decibels below the loudest, shifted and scaled to about -1 to 1."""
    import librosa

    power = librosa.feature.melspectrogram(y=wav, **_MEL)
    return ((librosa.power_to_db(power, ref=np.max) + 40) / 40).T.astype(np.float32)
