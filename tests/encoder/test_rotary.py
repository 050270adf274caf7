"""Rotary positions: only distances count."""

from __future__ import annotations

import torch

from freeze_omni.attention import rotary_tables, rotate


def test_scores_depend_on_the_distance_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8)

    def score(at: int, of: int) -> torch.Tensor:
        turned = (rotate(x, rotary_tables(torch.tensor([[t]]), 8)) for x, t in ((query, at), (key, of)))
        one, two = turned
        return (one * two).sum()

    assert torch.allclose(score(5, 2), score(105, 102), atol=1e-4)
    assert not torch.allclose(score(5, 2), score(5, 3), atol=1e-3)


def test_turning_keeps_the_length() -> None:
    x = torch.randn(1, 2, 5, 8)
    turned = rotate(x, rotary_tables(torch.arange(5)[None], 8))
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-5)
