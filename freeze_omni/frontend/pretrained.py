"""A pretrained speech model as the frontend: it encodes windows of the stream, so that any offline encoder streams.

Each audio chunk is encoded together with the sound before it and, as look-ahead, some after it. Every window is
computed anew: the model needs no training for it, and memory and positions are bounded however long the stream is. The
law "step by step = all at once" holds because both cut the same windows.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from freeze_omni.autocast import autocast_dtype
from freeze_omni.frontend.speech_model import build_speech_model
from freeze_omni.shapes import silence_padding
from freeze_omni.streaming import State

SAMPLE_HZ = 16000
WINDOWS_AT_ONCE = 16
"""Windows in one batch of the model: bounds the memory that a long recording takes."""


@dataclass(frozen=True)
class PretrainedConfig:
    """Keys under `frontend:`; the defaults fit models of 20 ms frames: Whisper, wav2vec 2.0, HuBERT, WavLM.

    model: the speech model's configuration in transformers' terms, with its `model_type`. Stage 1.1 reads it from what
    --encoder names and keeps it, so no later stage needs that folder.
    stack: frames of the model that become one feature, side by side: 2 frames of 20 ms give one of 40 ms.
    context: how a chunk sees what came before it. windows: all of its window is computed anew, for any model. cached:
    keys and values of `left_s` are kept (`CachedFrontend`), for Whisper; a step costs a third, and train_chunks and
    train_in_use mean nothing, as training and use are the same. auto: cached for Whisper, windows for others.
    chunk_frames: features of one streaming step, as the encoder's. left_s: sound before a chunk in its window.
    lookahead_chunks: chunks after it in its window; its features come so many chunks late.
    train_chunks: most chunks of a window where features are computed for training (dump_feats). The first of them then
    hear more of what follows than in use, and the cost falls almost by this factor.
    train_in_use: share of the sounds for training that get a window for each chunk all the same. Without them CTC
    labels words before they are heard in use, and the first word of a sentence is lost there.
    layers: how many of the model's layers run, 0 for all: middle layers often know more about words than the last.
    autocast: its arithmetic, in training and in use; auto: bfloat16 where the hardware multiplies it itself.
    """

    model: dict[str, Any] = field(default_factory=dict)
    stack: int = 2
    context: Literal["auto", "windows", "cached"] = "windows"
    chunk_frames: int = 4
    left_s: float = 4.0
    lookahead_chunks: int = 2
    train_chunks: int = 4
    train_in_use: float = 0.0
    layers: int = 0
    autocast: Literal["auto", "float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if min(self.stack, self.chunk_frames, self.train_chunks) < 1:
            raise ValueError("stack, chunk_frames and train_chunks must be 1 or more")
        if min(self.left_s, self.lookahead_chunks, self.layers) < 0:
            raise ValueError("left_s, lookahead_chunks and layers must be 0 or more")
        if not 0 <= self.train_in_use <= 1:
            raise ValueError("train_in_use is a share, 0 to 1")

    @property
    def cached(self) -> bool:
        return self.context == "cached" or self.context == "auto" and self.model.get("model_type") == "whisper"

    @property
    def frame_ms(self) -> int:
        """Length of a feature."""
        with torch.device("meta"):
            model = build_speech_model(self.model)
        return model.frame_samples * self.stack * 1000 // SAMPLE_HZ


class PretrainedFrontend(nn.Module):
    """Samples at 16 kHz to a speech model's features, `delay_samples` late, with the interface of `Fbank`. Frozen, but
    for stage 1.0."""

    def __init__(self, config: PretrainedConfig):
        """Raises ValueError: an unknown model, or windows that it cannot take."""
        super().__init__()
        self.config = config
        self.model = build_speech_model(config.model, config.layers)
        self.shift_samples = self.model.frame_samples * config.stack
        self.chunk_samples = self.shift_samples * config.chunk_frames
        self.delay_samples = self.chunk_samples * config.lookahead_chunks
        self.left_samples = round(config.left_s * SAMPLE_HZ)
        if self.left_samples % self.shift_samples:
            raise ValueError(f"left_s {config.left_s} is no multiple of a feature, {self.shift_samples / SAMPLE_HZ} s")
        self.model.check_window(self.left_samples + config.train_chunks * self.chunk_samples + self.delay_samples)
        self.requires_grad_(False).eval()

    @property
    def output_size(self) -> int:
        return self.model.output_size * self.config.stack

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def forward(self, wav: Tensor, lengths: Tensor, chunks: int = 1) -> tuple[Tensor, Tensor]:
        """Samples (B, S) in [-1, 1], lengths (B,) to features (B, S // shift_samples, output_size) and lengths.

        Padding may hold anything; its features are those of silence. chunks: of a window; 1 is as in `step`.
        """
        counts, frames = lengths // self.shift_samples, wav.shape[1] // self.shift_samples
        missing = -wav.shape[1] % (chunks * self.chunk_samples)
        wav = nn.functional.pad(silence_padding(wav, lengths), (0, missing))
        return self._all_at_once(wav, chunks)[:, :frames], counts

    def initial_state(
        self, batch_size: int, device: torch.device | str | None = None, dtype: torch.dtype = torch.float
    ) -> State:
        """The silence before the stream: samples (B, left and look-ahead)."""
        size = (batch_size, self.left_samples + self.delay_samples)
        return {"samples": torch.zeros(size, device=device or self.device, dtype=dtype)}

    def step(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        """Samples (B, k * chunk_samples), or ValueError, to features (B, k * chunk_frames, output_size)."""
        if wav.shape[1] == 0 or wav.shape[1] % self.chunk_samples:
            raise ValueError(f"a step takes a multiple of {self.chunk_samples} samples, found {wav.shape[1]}")
        samples = torch.cat([state["samples"], wav], dim=1)
        return self._windows(samples, 1), {"samples": samples[:, wav.shape[1] :]}

    def _all_at_once(self, wav: Tensor, chunks: int) -> Tensor:
        """Samples (B, k * chunks * chunk_samples) from a stream's beginning to all of their features."""
        before = self.initial_state(len(wav), wav.device)["samples"]
        return self._windows(torch.cat([before, wav], dim=1), chunks)

    def _windows(self, samples: Tensor, chunks: int) -> Tensor:
        """Samples (B, left and look-ahead + k * chunk_samples) to the features (B, k * chunk_frames, output_size), by
        windows of `chunks` chunks."""
        stride = chunks * self.chunk_samples
        windows = samples.unfold(1, self.left_samples + stride + self.delay_samples, stride)
        first = self.left_samples // self.model.frame_samples
        kept = slice(first, first + stride // self.model.frame_samples)
        kind = samples.device.type
        dtype = autocast_dtype(self.config.autocast, kind)
        with torch.autocast(kind, dtype, enabled=dtype is not None):
            pieces = [self.model(some)[:, kept] for some in windows.flatten(0, 1).split(WINDOWS_AT_ONCE)]
        return torch.cat(pieces).to(samples.dtype).reshape(len(samples), -1, self.output_size)
