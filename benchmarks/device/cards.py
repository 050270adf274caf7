"""Peak of a card in dense bfloat16 products, by its makers' data sheets; other cards need --peak_tflops."""

from __future__ import annotations

import re

# Word in the card's name -> TFLOP/s without sparsity. The first that fits, so longer names come first.
PEAK_TFLOPS = {
    "B200": 2250.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H200": 989.0,
    "GH200": 989.0,
    "A100": 312.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.0,
}


def peak_tflops(card: str) -> float | None:
    """None for a card that is not in the table, or a share of one (MIG)."""
    if re.search(r"\bMIG\b", card):
        return None
    return next((peak for name, peak in PEAK_TFLOPS.items() if re.search(rf"\b{name}\b", card)), None)
