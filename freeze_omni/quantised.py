"""Matrices in few bits, on a CPU (ours). A token or a step of the encoder reads all weights once: fewer bytes are less
time.

float16: weights are rounded to 16 bits; products are in float32. int8: weights that lie on 16 even levels in each group
of 32, as those of a GGUF file of 4 bits do, take 4 bits again; all others are rounded to 8 bits, with a scale for each
row; products are in bfloat16.
"""

from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor, nn

FewBits = Literal["float16", "int8"]
WIDTHS = 16  # torch's kernel of 8 bits reads rows in pieces of so many, and after the end of others
GROUP = 32
LEVELS = 15  # steps between the least and the greatest of a group
_EVEN = 2e-3  # how far from a level, in steps: weights pass through float16


class Linear4(nn.Module):
    """x (..., K) to (..., N) by levels of 4 bits; products in bfloat16, sums in float32."""

    def __init__(self, steps: Tensor, least: Tensor, step: Tensor, bias: Tensor | None) -> None:
        """steps (N, K) from 0 to 15; least, step (N, K // GROUP): a weight is least + step * steps."""
        super().__init__()
        self.out_features, self.bias = len(steps), bias
        codes = torch._convert_weight_to_int4pack_for_cpu(steps.to(torch.int32), 2)
        ranges = torch.stack([step, least + 8 * step], dim=-1).transpose(0, 1)  # its zero is the ninth level
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("ranges", ranges.to(torch.bfloat16).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16).contiguous()
        y = torch._weight_int4pack_mm_for_cpu(rows, self.codes, GROUP, self.ranges).to(x.dtype)
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)


class Linear16(nn.Module):
    """x (..., K) to (..., N) by weights in float16; products and sums in float32, by FBGEMM."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features = len(weight)
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach(), None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        y = torch.ops.quantized.linear_dynamic_fp16(x.reshape(-1, x.shape[-1]).float(), self.packed)
        return y.to(x.dtype).reshape(*x.shape[:-1], self.out_features)


class Linear8(nn.Module):
    """x (..., K) to (..., N) by weights of 8 bits with a scale for each row; products in bfloat16, sums in float32.

    The same in float32 is many times slower: torch has no vector code for it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.bias = len(weight), bias
        scale = (weight.abs().amax(1) / 127).clamp_min(1e-12)
        codes = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("scale", scale.to(torch.bfloat16), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16).contiguous()
        y = torch._weight_int8pack_mm(rows, self.codes, self.scale).to(x.dtype)
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)


def even_levels(weight: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Of weights (N, K) on even levels: steps (N, K), least and step (N, K // GROUP); None for others."""
    size, width = weight.shape
    if size % 16 or width % GROUP:
        return None
    if size > 16 and even_levels(weight[:16]) is None:  # most are not, and a large matrix takes seconds
        return None
    groups = weight.double().reshape(size, width // GROUP, GROUP)
    least = groups.amin(-1, keepdim=True)
    step = (groups.amax(-1, keepdim=True) - least) / LEVELS
    steps = (groups - least) / step.clamp_min(1e-30)
    if float((steps - steps.round()).abs().max()) > _EVEN:
        return None
    return steps.round().reshape(size, width), least[..., 0].float(), step[..., 0].float()


@torch.no_grad()
def quantise(model: Any, bits: FewBits = "int8", keep: Collection[str] = ()) -> None:
    """Put a layer of few bits in place of every nn.Linear of a model in float32 on a CPU, but those that are called
    `keep`, and in int8 those whose width its kernel does not take. The state dict lacks their weights from then on.

    Raises ValueError: float16 on a processor for which torch has no kernel.
    """
    if bits == "float16" and "fbgemm" not in torch.backends.quantized.supported_engines:
        raise ValueError("torch multiplies weights in float16 on x86 processors alone: take int8 or float32")
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and name.rpartition(".")[2] not in keep:
            small = _small(module, bits)
            if small is not None:
                model.set_submodule(name, small)


def _small(layer: nn.Linear, bits: FewBits) -> nn.Module | None:
    if bits == "float16":
        return Linear16(layer.weight, layer.bias)
    if layer.in_features % WIDTHS:
        return None
    found = even_levels(layer.weight)
    return Linear8(layer.weight, layer.bias) if found is None else Linear4(*found, layer.bias)


def is_quantised(model: nn.Module) -> bool:
    """Whether a model has layers of few bits."""
    return any(isinstance(layer, Linear4 | Linear8 | Linear16) for layer in model.modules())
