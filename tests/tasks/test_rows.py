"""Pieces of different lengths put one behind the other."""

from __future__ import annotations

import torch

from freeze_omni.tasks.rows import join, predicting, text_loss, with_end


def piece(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    embeds = torch.full((len(lengths), max(lengths) + 1, 3), torch.nan)
    for row, size in enumerate(lengths):
        embeds[row, :size] = torch.randn(size, 3)
    return embeds, torch.tensor(lengths)


def test_joins_without_the_padding():
    first, second, third = piece(2, 4), piece(0, 1), piece(3, 0)
    joined = join([first, second, third])
    assert joined.lengths.tolist() == [5, 5] and joined.starts.tolist() == [[0, 2, 2], [0, 4, 5]]
    assert torch.equal(joined.embeds[0], torch.cat([first[0][0, :2], third[0][0, :3]]))
    assert torch.equal(joined.embeds[1], torch.cat([first[0][1, :4], second[0][1, :1]]))
    assert joined.mask.all()


def test_end_comes_behind_the_last_id():
    ids, lengths = with_end(torch.tensor([[5, 6, -1], [7, -1, -1]]), torch.tensor([2, 0]), 9)
    assert ids.tolist() == [[5, 6, 9, 9], [9, 9, 9, 9]] and lengths.tolist() == [3, 1]


def test_a_token_is_predicted_by_the_position_before_it():
    hidden = torch.arange(10.0).reshape(2, 5, 1)
    states = predicting(hidden, torch.tensor([2, 4]), torch.tensor([3, 1]))
    assert states[0, :, 0].tolist() == [1, 2, 3] and states[1, 0, 0] == 8


def test_loss_over_nothing_is_zero_with_a_gradient():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss, accuracy = text_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and accuracy == 0 and logits.grad is not None
