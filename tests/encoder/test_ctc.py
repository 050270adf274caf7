"""The CTC head's loss and greedy path."""

from __future__ import annotations

import math

import pytest
import torch

from freeze_omni.encoder.ctc import CtcHead, unit_starts


def _logits(path: list[list[int]], units: int = 4) -> torch.Tensor:
    return 9.0 * torch.nn.functional.one_hot(torch.tensor(path), units)


def test_greedy_joins_repeats_and_drops_blanks() -> None:
    head = CtcHead(3, 4)
    logits = _logits([[0, 1, 1, 0, 1, 2, 2, 3], [3, 3, 0, 0, 3, 1, 1, 1]])
    assert head.greedy(logits, torch.tensor([8, 5])) == [[1, 1, 2, 3], [3, 3]]


def test_a_unit_that_goes_on_is_not_started_again() -> None:
    starts = unit_starts(torch.tensor([[1, 1, 2], [1, 0, 1]]), torch.tensor([1, 0]), 0)
    assert starts.tolist() == [[False, False, True], [True, False, True]]


def test_loss_is_the_likelihood_of_the_utterance_averaged_over_the_batch() -> None:
    head = CtcHead(3, 4)
    logits = torch.zeros(2, 2, 4)
    targets = torch.tensor([[1, 99], [2, 1]])
    loss = head.loss(logits, torch.tensor([2, 2]), targets, torch.tensor([1, 2]))
    # of 16 paths of two frames, three give unit 1 and one gives units 2, 1
    assert float(loss) == pytest.approx((math.log(16 / 3) + math.log(16)) / 2, rel=1e-5)


def test_impossible_alignments_and_nan_padding_do_no_harm() -> None:
    head = CtcHead(3, 4)
    enc = torch.randn(2, 3, 3)
    enc[1, 1:] = float("nan")
    logits = head(enc)
    targets = torch.tensor([[1, 2], [1, 1]])
    loss = head.loss(logits, torch.tensor([3, 1]), targets, torch.tensor([2, 2]))
    alone = head.loss(logits[:1], torch.tensor([3]), targets[:1], torch.tensor([2]))
    assert torch.allclose(loss, alone / 2)
