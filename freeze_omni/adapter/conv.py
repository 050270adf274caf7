"""The paper's adapter: causal convolutions that halve the rate, two positions a chunk; or a quarter of it, and one."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from freeze_omni.adapter.output import Adapted, Adapter, AdapterOutput, Device, chunk_ends, chunk_means
from freeze_omni.encoder.search import Said
from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.streaming import State

NORM_EPS = 1e-3


@dataclass(frozen=True)
class ConvAdapterConfig:
    """The defaults are the published ones: kernel 5, GELU, LayerNorm.

    convolutions: 1 or 2; 0 takes two if the LLM is more than 4 times as wide as the encoder, as the released code does.
    stride: encoder frames of a position; 2 is the paper's (12.5 Hz), 4 sends half as many (ours, 6.25 Hz).
    chunk_frames: encoder frames of a streaming step.
    """

    kernel: int = 5
    stride: Literal[2, 4] = 2
    norm: Literal["layer", "batch"] = "layer"
    activation: Literal["gelu", "relu"] = "gelu"
    convolutions: int = 0
    chunk_frames: int = 4

    def __post_init__(self) -> None:
        if self.convolutions not in (0, 1, 2):
            raise ValueError(f"convolutions is 0 (by size), 1 or 2, not {self.convolutions}")
        if self.chunk_frames % self.stride:
            raise ValueError(f"chunk_frames {self.chunk_frames} is not a multiple of {self.stride}, the stride")
        if self.stride > 2 and self.kernel < self.stride:
            raise ValueError(f"kernel {self.kernel} would leave out frames at stride {self.stride}")


class CausalLayer(nn.Module):
    """A convolution over the past, a norm and an activation; the past comes in and goes out."""

    def __init__(self, config: ConvAdapterConfig, input_size: int, output_size: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv1d(input_size, output_size, config.kernel, stride)
        norm = nn.LayerNorm if config.norm == "layer" else nn.BatchNorm1d
        self.norm = norm(output_size, eps=NORM_EPS)
        self.activation = nn.GELU() if config.activation == "gelu" else nn.ReLU()

    def forward(self, x: Tensor, past: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, input_size), past (B, kernel - 1, input_size), lengths (B,) to
        (B, ceil(T / stride), output_size), the next past, lengths; zero after the lengths."""
        inputs = torch.cat([past, x], dim=1)
        y = self.conv(inputs.transpose(1, 2)).transpose(1, 2)
        lengths = (lengths + self.stride - 1) // self.stride
        valid = valid_mask(lengths, y.shape[1])
        if isinstance(self.norm, nn.BatchNorm1d):  # statistics over real frames only
            normed = self.norm(y[valid])
            y = normed.new_zeros(y.shape).masked_scatter(valid[..., None], normed)
        else:
            y = self.norm(y)
        y = self.activation(y).masked_fill(~valid[..., None], 0)
        return y, inputs[:, x.shape[1] :], lengths


class ConvAdapter(Adapter):
    """One or two causal convolutions, the last with the stride, then a projection: T frames to ceil(T / stride)."""

    def __init__(self, config: ConvAdapterConfig, input_size: int, llm_size: int):
        super().__init__()
        self.config, self.input_size = config, input_size
        two = config.convolutions == 2 or (config.convolutions == 0 and 4 * input_size < llm_size)
        sizes = [input_size * 2**power for power in range(3 if two else 2)]
        shapes = zip(sizes, sizes[1:], [1, config.stride] if two else [config.stride], strict=False)
        self.layers = nn.ModuleList(CausalLayer(config, *shape) for shape in shapes)
        self.project = nn.Linear(sizes[-1], llm_size)

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype | None = None) -> State:
        """The inputs before the first of each convolution: zeros, conv{i} (B, kernel - 1, size)."""
        weight, past = self.project.weight, self.config.kernel - 1
        empty = partial(torch.zeros, device=device or weight.device, dtype=dtype or weight.dtype)
        return {f"conv{i}": empty(batch_size, past, layer.conv.in_channels) for i, layer in enumerate(self.layers)}

    def adapt(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None, state: State, said: Said | None = None
    ) -> Adapted:
        x, after, counts = silence_padding(enc, lengths), {}, lengths
        for i, layer in enumerate(self.layers):
            x, after[f"conv{i}"], counts = layer(x, state[f"conv{i}"], counts)
        chunk = self.config.chunk_frames
        stride = self.config.stride
        ends = (chunk_ends(lengths, enc.shape[1], chunk) + stride - 1) // stride
        embeds = silence_padding(self.project(x), counts)
        return AdapterOutput(embeds, counts, ends, chunk_means(enc, lengths, chunk)), after
