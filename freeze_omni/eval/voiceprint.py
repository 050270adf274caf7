"""Speaker similarity: the cosine between two voiceprints of a speaker encoder (Wan et al. 2018, GE2E).

The weights are those of the package Resemblyzer: an LSTM of three layers over 40 mel bands, whose last state becomes a
vector of 256 numbers and length one. Windows of 1.6 s overlap by half; a clip's voiceprint is their mean. Unlike that
package we keep long pauses, since cutting them needs another voice activity detector; silence at both ends is cut.
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
_SHIFT = 160
_MEL = {"sr": RATE_HZ, "n_fft": 400, "hop_length": _SHIFT, "n_mels": 40}
_WINDOW, _HOP = 160, 77  # frames: 1.6 s, and 1.3 windows a second
_LEAST_COVERED = 0.75  # of a clip's last window; one with less of it is left out
_LEVEL = 10 ** (-30 / 20)  # quieter clips are raised to this root mean square


class SpeakerEncoder(nn.Module):
    """Mel windows (B, frames, 40) to voiceprints (B, size) of length one (zeros stay zeros).

    The sizes are read from the weights, so that smaller encoders of the same kind load, too.
    """

    name = "voiceprint"

    def __init__(self, hidden: int = 256, layers: int = 3, size: int = 256) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MEL["n_mels"], hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, size)

    @classmethod
    def load(cls, folder: Path) -> SpeakerEncoder:
        """Read pretrained.pt of the folder. Raises ConfigError for a file without such weights."""
        path = folder / "pretrained.pt"
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            weights = {key: value for key, value in weights.items() if key.startswith(("lstm.", "linear."))}
            layers = sum(key.startswith("lstm.weight_hh_l") for key in weights)
            size, hidden = weights["linear.weight"].shape
            encoder = cls(hidden, layers, size)
            encoder.load_state_dict(weights)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
            where = "tools/installers/get_speaker_encoder.sh"
            raise ConfigError(f"{path}: no weights of a speaker encoder ({error}); run {where}") from None
        return encoder.eval()

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu(), dim=1)

    @torch.no_grad()
    def embed(self, wav: NDArray[np.float32]) -> NDArray[np.float32]:
        """The voiceprint (size,) of (S,) samples at 16 kHz."""
        windows = torch.from_numpy(mel_windows(prepared(wav)))
        return nn.functional.normalize(self(windows).mean(0), dim=0).numpy()

    def measure(self, wav: NDArray[np.float32]) -> dict[str, list[float]]:
        """The voiceprint as one record."""
        return {"voiceprint": [round(value, 5) for value in self.embed(wav).tolist()]}


def prepared(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S,) without the silence at its ends, raised to the level at which the encoder was trained."""
    wav = trim_silence(wav, RATE_HZ)
    level = float(np.sqrt(np.mean(np.square(wav)))) if len(wav) else 0.0
    return (wav * (_LEVEL / level)).astype(np.float32) if 0 < level < _LEVEL else wav


def mel_windows(wav: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power (windows, 160, 40) of (S,); a clip that ends within a window is zero-padded."""
    try:
        import librosa
    except ImportError:
        raise ImportError("speaker similarity needs librosa: pip install 'freeze-omni[train]'") from None
    frames = -(-(len(wav) + 1) // _SHIFT)
    starts = list(range(0, max(1, frames - _WINDOW + _HOP + 1), _HOP))
    covered = (len(wav) - starts[-1] * _SHIFT) / (_WINDOW * _SHIFT)
    if covered < _LEAST_COVERED and len(starts) > 1:
        starts.pop()
    needed = (starts[-1] + _WINDOW) * _SHIFT
    padded = np.pad(wav, (0, max(needed - len(wav), 0)))
    mel = librosa.feature.melspectrogram(y=padded, **_MEL).astype(np.float32).T
    return np.stack([mel[start : start + _WINDOW] for start in starts])
