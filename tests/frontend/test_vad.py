"""The gate opens on speech-like bursts, and does not chatter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from freeze_omni.frontend.silero import SileroDetector
from freeze_omni.frontend.vad import EnergyDetector, Gate, GateConfig
from freeze_omni.streaming import State


class Scripted:
    """A detector that reads the probability off the first sample of each window."""

    def initial_state(self, batch_size: int) -> State:
        return {}

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        return wav[:, ::512], state


def _open(probabilities: list[float], config: GateConfig) -> list[int]:
    gate = Gate(Scripted(), config)
    wav = torch.tensor([probabilities]).repeat_interleave(512, dim=1)
    return gate.step(wav, gate.initial_state(1))[0][0].int().tolist()


def test_the_gate_waits_before_it_opens_and_before_it_closes() -> None:
    config = GateConfig(open_ms=64, close_ms=96)
    heard = [0.9, 0.1, 0.9, 0.9, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1]
    assert _open(heard, config) == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]


def test_between_the_thresholds_nothing_changes() -> None:
    config = GateConfig(open_ms=32, close_ms=32)
    assert _open([0.4, 0.4, 0.6, 0.4, 0.4, 0.2, 0.4], config) == [0, 0, 1, 1, 1, 0, 0]


def _scene(noise: float) -> Tensor:
    """One second of noise, one of a loud buzz over it, two of noise: (1, 64000)."""
    torch.manual_seed(0)
    wav = noise * torch.randn(125 * 512)
    time_s = torch.arange(16000) / 16000
    wav[16000:32000] += 0.3 * torch.sin(2 * torch.pi * 150 * time_s)
    return wav[None]


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_energy_finds_the_loud_second(noise: float) -> None:
    gate = Gate(EnergyDetector())
    opened, _ = gate.step(_scene(noise), gate.initial_state(1))
    assert not opened[0, :31].any() and opened[0, 34:62].all() and not opened[0, 85:].any()


def test_the_floor_learns_steady_noise() -> None:
    torch.manual_seed(0)
    detector = EnergyDetector()
    probability, _ = detector.step(0.02 * torch.randn(1, 512 * 400), detector.initial_state(1))
    assert probability[0, 0] > 0.5 and probability[0, -50:].max() < 0.1


def test_broken_windows_and_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 512, found 500"):
        gate = Gate(EnergyDetector())
        gate.step(torch.zeros(1, 500), gate.initial_state(1))
    with pytest.raises(ValueError, match="close_below"):
        GateConfig(open_above=0.3, close_below=0.5)


@pytest.fixture
def silero() -> Path:
    folder = Path(os.environ.get("FREEZE_OMNI_VAD_DIR", "no folder"))
    if not (folder / "silero_vad.jit").is_file():
        pytest.skip("FREEZE_OMNI_VAD_DIR names no folder with Silero's models")
    return folder


def test_silero_equals_its_onnx_model(silero: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(silero / "silero_vad.onnx")
    wav = _scene(3e-3)[:, : 512 * 40]
    detector = SileroDetector.load(silero / "silero_vad.jit")
    found, _ = detector.step(wav, detector.initial_state(1))
    memory, context, expected = torch.zeros(2, 1, 128).numpy(), torch.zeros(1, 64), []
    for window in wav.split(512, dim=1):
        feed = torch.cat([context, window], dim=1).numpy()
        rate = torch.tensor(16000).numpy()
        value, memory = session.run(None, {"input": feed, "state": memory, "sr": rate})
        expected.append(float(value[0, 0]))
        context = window[:, -64:]
    assert torch.allclose(found[0], torch.tensor(expected), atol=1e-3)


def test_both_published_files_load(silero: Path) -> None:
    for name in ("silero_vad.jit", "silero_vad_16k.safetensors"):
        detector = SileroDetector.load(silero / name)
        quiet, _ = detector.step(torch.zeros(1, 5120), detector.initial_state(1))
        assert quiet.max() < 0.2


def test_another_model_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors: not Silero"):
        SileroDetector.load(tmp_path / "other.safetensors")
