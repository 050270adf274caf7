"""The published model, where it is; and what is said of other files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from freeze_omni.frontend.smart_turn import SmartTurn


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="other.onnx: not a model of smart-turn"):
        SmartTurn(tmp_path / "other.onnx")


def test_the_published_model_gives_a_probability_of_the_last_seconds() -> None:
    path = Path(os.environ.get("FREEZE_OMNI_SMART_TURN_DIR", "no folder")) / "smart-turn-v3.2-cpu.onnx"
    if not path.is_file():
        pytest.skip("FREEZE_OMNI_SMART_TURN_DIR names no folder with the model")
    model, wav = SmartTurn(path), np.random.default_rng(0).normal(0, 0.1, 16000 * 9).astype(np.float32)
    assert 0 <= model.over(wav) <= 1
    assert model.over(wav) == model.over(wav[16000:]), "eight seconds count"
    assert model.over(wav[:16000]) == model.over(np.pad(wav[:16000], (16000 * 7, 0)))
