"""From frames to speech tokens, what counts as the same letter, and letters that no one has heard."""

from __future__ import annotations

import torch

from freeze_omni.speech_decoder.timing.acoustics import Acoustics, kinds_of, numbers, to_tokens


def test_case_and_punctuation_make_no_sound():
    kinds = kinds_of([list("Ab a."), list("B!")])
    assert kinds == {"a": 1, "b": 2}
    assert numbers(list("Ab a."), kinds).tolist() == [1, 2, 0, 1, 0] and numbers(list("Bc!"), kinds).tolist() == [
        2,
        3,
        0,
    ]


def test_tokens_add_up_and_silence_goes_to_the_ends():
    starts = torch.tensor([20, 50, 50, 90])
    assert to_tokens(starts, 100, 40) == [20, 0, 20]
    assert sum(to_tokens(starts, 100, 39)) == 39


def test_a_letter_that_was_not_heard_is_timed_and_a_file_holds_all(tmp_path):
    draw = torch.Generator().manual_seed(1)
    features = [torch.randn(60, 39, generator=draw) for _ in range(3)]
    acoustics = Acoustics.learn(features, ["ab a", "ba", "aab"])
    acoustics.save(tmp_path / "a.pt", "these")
    assert Acoustics.load(tmp_path / "a.pt", "others") is None and Acoustics.load(tmp_path / "b.pt", "these") is None
    again = Acoustics.load(tmp_path / "a.pt", "these")
    found = [one.durations(features[:1], ["abz"], [21]) for one in (acoustics, again)]
    assert found[0] == found[1] and len(found[0][0]) == 3 and sum(found[0][0]) == 21
