"""From frames to speech tokens, and what counts as the same letter."""

from __future__ import annotations

import torch

from freeze_omni.speech_decoder.timing.durations import kinds, to_tokens


def test_case_and_punctuation_make_no_sound():
    first, second = kinds([list("Ab a."), list("B!")])
    assert first.tolist() == [1, 2, 0, 1, 0] and second.tolist() == [2, 0]


def test_tokens_add_up_and_silence_goes_to_the_ends():
    starts = torch.tensor([20, 50, 50, 90])
    assert to_tokens(starts, 100, 40) == [20, 0, 20]
    assert sum(to_tokens(starts, 100, 39)) == 39
