"""The attention of training in bfloat16 is that of everything else."""

from __future__ import annotations

import torch

from freeze_omni.attention import attend


def test_spelt_out_attention_is_the_fused_one():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, size, 8) for size in (5, 9, 9))
    mask = torch.ones(5, 9, dtype=torch.bool).tril(4)[None, None]
    fused = attend(query, key, value, mask, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        spelt = attend(query, key, value, mask, 0.0)
    assert spelt.dtype != fused.dtype and float((spelt.float() - fused).abs().max()) < 0.03
