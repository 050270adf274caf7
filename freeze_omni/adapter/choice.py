"""Which adapter a configuration asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from freeze_omni.adapter.conv import ConvAdapter, ConvAdapterConfig
from freeze_omni.adapter.ctc import CtcAdapter, CtcAdapterConfig

Adapter = ConvAdapter | CtcAdapter


@dataclass(frozen=True)
class AdapterConfig:
    """kind: "conv" (the paper's fixed rate) or "ctc" (ours); the other one's keys are not read."""

    kind: Literal["conv", "ctc"] = "conv"
    conv: ConvAdapterConfig = field(default_factory=ConvAdapterConfig)
    ctc: CtcAdapterConfig = field(default_factory=CtcAdapterConfig)


def build_adapter(
    config: AdapterConfig, input_size: int, llm_size: int, unit_embeds: Tensor | None = None
) -> Adapter:
    """The adapter between an encoder and an LLM of these widths.

    unit_embeds (V, llm_size): for the CTC adapter, the LLM's embedding of every CTC unit. Raises
    ValueError where it is needed and missing.
    """
    if config.kind == "conv":
        return ConvAdapter(config.conv, input_size, llm_size)
    return CtcAdapter(config.ctc, input_size, llm_size, unit_embeds)
