"""Padding and masks."""

from __future__ import annotations

import torch

from freeze_omni.shapes import pad_rows, silence_padding, valid_mask


def test_a_mask_is_true_where_an_item_is_real():
    mask = valid_mask(torch.tensor([2, 0, 3]))
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert valid_mask(torch.tensor([1]), size=2).tolist() == [[True, False]]


def test_rows_are_padded_on_the_right():
    padded, lengths = pad_rows([torch.ones(1, 2), torch.ones(3, 2)], value=-1)
    assert padded.shape == (2, 3, 2) and lengths.tolist() == [1, 3]
    assert padded[0].tolist() == [[1, 1], [-1, -1], [-1, -1]]


def test_padding_is_silenced_whatever_it_holds():
    x = torch.ones(2, 3, 2)
    x[0, 1:] = torch.nan
    silent = silence_padding(x, torch.tensor([1, 3]))
    assert silent.sum() == 8 and silent.isfinite().all()
    assert silence_padding(x[..., 0], torch.tensor([1, 3])).sum() == 4
