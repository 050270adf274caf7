"""smart-turn (BSD-2): whether a user's turn is over, by the sound of its last eight seconds; a published ONNX file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 16000
WINDOW_S = 8


class SmartTurn:
    """The published file: log-mel features as Whisper's (80, 800) to one probability."""

    def __init__(self, path: str | Path) -> None:
        """Raises ValueError: no such model."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._model = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime has a class for each
            raise ValueError(f"{path}: not a model of smart-turn: {problem}") from None

    def over(self, wav: np.ndarray) -> float:
        """Probability that the turn ended with these samples (S,) at 16 kHz in [-1, 1]; the last 8 s count."""
        size = WINDOW_S * RATE_HZ
        wav = wav[-size:]
        padded = np.pad(wav, (size - len(wav), 0))
        (found,) = self._model.run(None, {"input_features": self._features(padded)})
        return float(np.ravel(found)[0])

    def _features(self, wav: np.ndarray) -> np.ndarray:
        """(S,) to (1, 80, 800)."""
        found = self._extractor(wav, sampling_rate=RATE_HZ, do_normalize=True, return_tensors="np")
        return np.asarray(found.input_features, dtype=np.float32)

    @cached_property
    def _extractor(self) -> Any:
        from transformers import WhisperFeatureExtractor

        return WhisperFeatureExtractor(chunk_length=WINDOW_S)
