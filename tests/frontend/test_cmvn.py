"""Normalisation statistics from sums, JSON and Kaldi text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from freeze_omni.frontend.cmvn import Cmvn


def _sums() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(500, 4, dtype=torch.double) * torch.tensor([1.0, 2, 3, 4]) + 7
    return x, x.sum(0), x.square().sum(0)


def test_normalises_what_it_was_made_from() -> None:
    x, total, square = _sums()
    y = Cmvn.from_sums(len(x), total, square)(x.float())
    assert torch.allclose(y.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(y.std(0, unbiased=False), torch.ones(4), atol=1e-5)


def test_json_and_kaldi_text_agree_with_the_sums(tmp_path: Path) -> None:
    x, total, square = _sums()
    stats = {"mean_stat": total.tolist(), "var_stat": square.tolist(), "frame_num": len(x)}
    (tmp_path / "cmvn.json").write_text(json.dumps(stats))
    rows = [[*total.tolist(), len(x)], [*square.tolist(), 0]]
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    (tmp_path / "cmvn.txt").write_text(f" [\n  {text} ]\n")
    expected = Cmvn.from_sums(len(x), total, square)
    for found in (Cmvn.from_json(tmp_path / "cmvn.json"), Cmvn.from_kaldi(tmp_path / "cmvn.txt")):
        assert torch.equal(found.mean, expected.mean) and torch.equal(found.istd, expected.istd)


def test_broken_statistics_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "global_cmvn"
    path.write_text('{"mean_stat": [1]}')
    with pytest.raises(ValueError, match="global_cmvn.*frame_num"):
        Cmvn.from_json(path)
    with pytest.raises(ValueError, match="global_cmvn.*two rows"):
        Cmvn.from_kaldi(path)
    with pytest.raises(ValueError, match="0 frames"):
        Cmvn.from_sums(0, torch.zeros(2), torch.zeros(2))


def test_a_constant_feature_stays_finite() -> None:
    cmvn = Cmvn.from_sums(10, torch.full((1,), 20.0), torch.full((1,), 40.0))
    assert torch.isfinite(cmvn(torch.tensor([[2.0]]))).all()
