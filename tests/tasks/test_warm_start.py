"""The alignment that a fresh convolution adapter begins with."""

from __future__ import annotations

import torch

from freeze_omni.adapter.output import AdapterOutput
from freeze_omni.tasks.alignment import WarmStartConfig, aligned_units, aligned_words, alignment_loss, word_ends


def test_a_unit_stands_where_its_end_was_heard_and_never_on_another():
    ends = torch.tensor([[0, 1, 2, 6], [3, -1, -1, -1], [7, 7, 7, -1]])
    units = torch.tensor([[4, 5, 6, 7], [8, 0, 0, 0], [1, 2, 3, 0]])
    wanted = aligned_units(ends, units, torch.tensor([4, 3, 4]), 2, 4)
    assert wanted.tolist() == [[4, 5, 6, 7], [0, 0, 8, 0], [0, 0, 0, 0]]


def test_loss_is_least_at_the_wanted_embeddings():
    table = torch.randn(6, 8)
    wanted = torch.tensor([[0, 3, 0, 5], [2, 0, 0, 0]])
    lengths = torch.tensor([4, 2])
    embeds = table[wanted].clone()
    embeds[1, 2:] = torch.nan  # padding

    def loss(values: torch.Tensor) -> tuple[float, float]:
        adapted = AdapterOutput(values, lengths, lengths, lengths)
        return tuple(map(float, alignment_loss(adapted, wanted, table, WarmStartConfig())))

    right, nearest = loss(embeds)
    wrong, _ = loss(embeds.roll(1, dims=1).nan_to_num())
    assert nearest == 1.0 and right < 0.2 < wrong


def test_words_are_over_at_their_spaces():
    spaces = torch.tensor([[False, True, False, True], [False, True, False, False], [True, True, False, False]])
    ends = torch.tensor([[0, 2, 4, 7], [-1, -1, -1, -1], [-1, -1, -1, -1]])
    until = word_ends(ends, spaces, torch.tensor([8, 6, 5]))
    assert [row.tolist() for row in until] == [[3, 8], [6], [2, 5]], "evenly without an alignment"


def test_words_of_a_transcript_are_said_as_a_search_says_them():
    until = [torch.tensor([3, 8]), torch.tensor([2, 4, 6])]
    said = aligned_words(until, [torch.tensor([7, 5]), torch.tensor([1, -1, 2])], torch.tensor([11, 8]), 4)
    assert said.words.tolist() == [[7, 5], [1, 2]] and said.until.tolist() == [[3, 8], [2, 6]]
    assert said.ends.tolist() == [[0, 1, 2], [0, 2, 2]] and said.lengths.tolist() == [2, 2]
