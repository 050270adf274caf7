"""An ONNX session that uses one core: many processes are faster than many threads here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freeze_omni.data.tts.base import TtsError


def one_core_session(path: Path, installer: str) -> Any:
    """Load a model. Raises TtsError if the file or onnxruntime is missing."""
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
