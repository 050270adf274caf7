"""The type of arithmetic that the hardware does well."""

from __future__ import annotations

from typing import Literal

import torch


def autocast_dtype(wanted: Literal["auto", "float32", "bfloat16"], device: str) -> torch.dtype | None:
    """The type for torch.autocast on `device` (cpu, cuda), None for float32; auto: bfloat16 unless it is emulated."""
    plain = wanted == "float32" or wanted == "auto" and not _multiplies_bfloat16(device)
    return None if plain else torch.bfloat16


def _multiplies_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
