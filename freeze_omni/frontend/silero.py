"""Silero's voice activity model (MIT) in torch; its wheel holds two trainings of it, a .jit and a .safetensors file."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from freeze_omni.frontend.vad import windows
from freeze_omni.streaming import State

CONTEXT_SAMPLES = 64
BINS = 129
HIDDEN = 128
_JIT = {
    "stft_conv.weight": "stft.forward_basis_buffer",
    **{f"conv{i + 1}.{kind}": f"encoder.{i}.reparam_conv.{kind}" for i in range(4) for kind in ("weight", "bias")},
    **{f"lstm_cell.{name}": f"decoder.rnn.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    **{f"final_conv.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}


class SileroDetector(nn.Module):
    """A `Detector`: a Fourier transform as a convolution, four convolutions, an LSTM cell."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * BINS, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(BINS, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, HIDDEN, 3, 1, 1)
        self.lstm_cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.final_conv = nn.Conv1d(HIDDEN, 1, 1)

    @classmethod
    def load(cls, path: str | Path) -> SileroDetector:
        """From `silero_vad.jit`, its weights alone, or `silero_vad_16k.safetensors`. Raises ValueError: others."""
        path, detector = Path(path), cls()
        try:
            detector.load_state_dict(_read_jit(path) if path.suffix == ".jit" else load_file(path))
        except (KeyError, RuntimeError) as problem:
            raise ValueError(f"{path}: not Silero's 16 kHz model: {problem}") from None
        return detector.eval()

    def initial_state(self, batch_size: int) -> State:
        """Zeros: the samples before the first (B, 64), hidden and cell (B, 128)."""
        sizes = {"context": CONTEXT_SAMPLES, "hidden": HIDDEN, "cell": HIDDEN}
        return {name: torch.zeros(batch_size, size) for name, size in sizes.items()}

    @torch.no_grad()
    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        context, hidden, cell = state["context"], state["hidden"], state["cell"]
        probabilities = []
        for window in windows(wav).unbind(1):
            x = torch.cat([context, window], dim=1)
            context = window[:, -CONTEXT_SAMPLES:]
            hidden, cell = self.lstm_cell(self._encoded(x), (hidden, cell))
            probabilities.append(self.final_conv(hidden.relu()[..., None]).sigmoid()[:, 0, 0])
        return torch.stack(probabilities, dim=1), {"context": context, "hidden": hidden, "cell": cell}

    def _encoded(self, x: Tensor) -> Tensor:
        """A window with its context (B, 576) to (B, 128)."""
        x = nn.functional.pad(x[:, None], (0, CONTEXT_SAMPLES), mode="reflect")
        real, imaginary = self.stft_conv(x).split(BINS, dim=1)
        x = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = layer(x).relu()
        return x[..., 0]


def _read_jit(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format is deprecated; the file is published in it
        theirs = torch.jit.load(path, map_location="cpu").state_dict()
    return {ours: theirs[f"_model.{name}"] for ours, name in _JIT.items()}
