"""Meters of one clip of speech: DNSMOS, and the voiceprint by which speakers are compared.

DNSMOS (Reddy et al. 2022; P.835 and P.808) is estimated by the networks of the package speechmos from the sound alone.
As there, windows of 9.01 s begin each second, and the score is the mean. A shorter clip is repeated until it fills a
window, and judged once; the package judges the repetitions, too, for no information.

Speaker similarity is the cosine between two voiceprints of a speaker encoder (Wan et al. 2018, GE2E) with weights of
the package Resemblyzer: an LSTM over 40 mel bands, whose last state becomes a vector of length one. Windows of 1.6 s
overlap by half; the voiceprint of a clip is their mean. Unlike that package we keep long pauses, whose cutting needs
another voice activity detector.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import trim_silence

RATE_HZ = 16000
SCALES = ("overall", "signal", "background", "p808")
_WINDOW_S, _HOP_S = 9.01, 1.0
# From the network's outputs to opinion scores: coefficients published with it.
_POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
_DNSMOS_MEL = {"sr": RATE_HZ, "n_fft": 321, "hop_length": 160, "n_mels": 120}


class Dnsmos:
    """Mean opinion scores from 1 to 5 by the models of get_dnsmos.sh. Raises ImportError without their libraries."""

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

        self._p835, self._p808 = (
            onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
            for file in ("sig_bak_ovr.onnx", "model_v8.onnx")
        )

    def measure(self, wav: NDArray[np.float32]) -> dict[str, float]:
        """Scores by the names of SCALES, of (S,) samples at 16 kHz; no samples count as silence."""
        found = [self._window(window) for window in windows(wav)]
        return {name: round(float(np.mean([one[name] for one in found])), 4) for name in SCALES}

    def _window(self, window: NDArray[np.float32]) -> dict[str, float]:
        signal, background, overall = self._p835.run(None, {"input_1": window[None]})[0][0]
        p808 = self._p808.run(None, {"input_1": log_mel(window[:-160])[None]})[0][0][0]
        raw = {"signal": signal, "background": background, "overall": overall}
        scores = {name: float(np.polyval(_POLYNOMIALS[name], value)) for name, value in raw.items()}
        return scores | {"p808": float(p808)}


def windows(wav: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Windows (144160,) of a clip (S,), one a second; a shorter clip is repeated until it fills one."""
    size = int(_WINDOW_S * RATE_HZ)
    wav = np.clip(wav if len(wav) else np.zeros(1), -1, 1).astype(np.float32)
    if len(wav) < size:
        return [np.resize(wav, size)]
    count, hop = int(len(wav) // RATE_HZ - _WINDOW_S) + 1, int(_HOP_S * RATE_HZ)
    starts = range(0, max(count, 1) * hop, hop)
    return [wav[start : start + size] for start in starts if start + size <= len(wav)]


def log_mel(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """The P.808 network's features (frames, 120): decibels below the loudest, shifted and scaled to about -1 to 1."""
    import librosa

    power = librosa.feature.melspectrogram(y=wav, **_DNSMOS_MEL)
    return ((librosa.power_to_db(power, ref=np.max) + 40) / 40).T.astype(np.float32)


_SHIFT = 160
_PRINT_MEL = {"sr": RATE_HZ, "n_fft": 400, "hop_length": _SHIFT, "n_mels": 40}
_WINDOW, _HOP = 160, 77  # frames: 1.6 s, and 1.3 windows a second
_LEAST_COVERED = 0.75  # of a clip's last window; one with less of it is left out
_LEVEL = 10 ** (-30 / 20)  # root mean square of the encoder's training; quieter clips are raised to it


class SpeakerEncoder(nn.Module):
    """Mel windows (B, frames, 40) to voiceprints (B, size) of length one (zeros stay zeros)."""

    name = "voiceprint"

    def __init__(self, hidden: int = 256, layers: int = 3, size: int = 256) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_PRINT_MEL["n_mels"], hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, size)

    @classmethod
    def load(cls, folder: Path) -> SpeakerEncoder:
        """Read pretrained.pt of the folder, of any sizes. Raises ConfigError for a file without such weights."""
        path = folder / "pretrained.pt"
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            weights = {key: value for key, value in weights.items() if key.startswith(("lstm.", "linear."))}
            layers = sum(key.startswith("lstm.weight_hh_l") for key in weights)
            size, hidden = weights["linear.weight"].shape
            encoder = cls(hidden, layers, size)
            encoder.load_state_dict(weights)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
            fix = "run tools/installers/get_speaker_encoder.sh"
            raise ConfigError(f"{path}: no weights of a speaker encoder ({error}); {fix}") from None
        return encoder.eval()

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu(), dim=1)

    @torch.no_grad()
    def embed(self, wav: NDArray[np.float32]) -> NDArray[np.float32]:
        """The voiceprint (size,) of (S,) samples at 16 kHz, without the silence at their ends."""
        wav = trim_silence(wav, RATE_HZ)
        level = float(np.sqrt(np.mean(np.square(wav)))) if len(wav) else 0.0
        if 0 < level < _LEVEL:
            wav = (wav * (_LEVEL / level)).astype(np.float32)
        windows = torch.from_numpy(mel_windows(wav))
        return nn.functional.normalize(self(windows).mean(0), dim=0).numpy()

    def measure(self, wav: NDArray[np.float32]) -> dict[str, list[float]]:
        """The voiceprint as one record."""
        return {"voiceprint": [round(value, 5) for value in self.embed(wav).tolist()]}


def mel_windows(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power (windows, 160, 40) of (S,); a clip that ends within a window is zero-padded."""
    try:
        import librosa
    except ImportError:
        raise ImportError("speaker similarity needs librosa: pip install 'freeze-omni[train]'") from None
    frames = -(-(len(wav) + 1) // _SHIFT)
    starts = list(range(0, max(1, frames - _WINDOW + _HOP + 1), _HOP))
    if len(starts) > 1 and len(wav) / _SHIFT - starts[-1] < _LEAST_COVERED * _WINDOW:
        starts.pop()
    padded = np.pad(wav, (0, max((starts[-1] + _WINDOW) * _SHIFT - len(wav), 0)))
    mel = librosa.feature.melspectrogram(y=padded, **_PRINT_MEL).astype(np.float32).T
    return np.stack([mel[start : start + _WINDOW] for start in starts])
