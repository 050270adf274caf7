"""Where text rows, prefix rows and speech tokens stand."""

from __future__ import annotations

import torch

from freeze_omni.speech_decoder.rows import plain_places, progress_places, stretch


def test_plain_positions_count_from_bos():
    places = plain_places(torch.tensor([3, 1]), rows=3, prefix_rows=2)
    assert places.text.tolist() == [[0, 1, 2, 3]] * 2
    assert places.prefix.tolist() == [[0, 1]] * 2
    assert places.sos.tolist() == [4, 2]


def test_progress_puts_a_row_in_the_middle_of_its_speech():
    durations = torch.tensor([[4.0, 2.0, 6.0]])
    places = progress_places(durations, torch.tensor([2]), prefix_rows=2)
    assert places.text.tolist() == [[0, 2, 5, 9]]
    assert places.prefix.tolist() == [[3, 9]]
    assert places.sos.tolist() == [0]


def test_stretch_keeps_proportions_and_hits_the_total():
    found = stretch(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.tensor([8.0, 5.0]))
    assert found.tolist() == [[2.0, 6.0], [5.0, 0.0]]
