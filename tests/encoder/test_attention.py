"""Where the released model looks for the place of a key, against the rule in words."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.encoder.attention import key_places, sinusoids, visible


def _as_told(first_new: int, chunk: int, left: int) -> dict[int, int]:
    """Key frame -> row of the table, for the step whose first new frame is `first_new`."""
    turn_round = chunk * (5000 // chunk) - (left + 1) * chunk
    start = max(0, first_new % turn_round - (left + 1) * chunk)
    keys = range(max(0, first_new - left * chunk), first_new + chunk)
    return {key: start + row for row, key in enumerate(keys)}


@pytest.mark.parametrize(("chunk", "left"), [(4, 16), (4, 3), (3, 2)])
def test_places_follow_the_rule_for_three_turns_of_the_table(chunk: int, left: int) -> None:
    for first_new in [*range(0, 40 * chunk, chunk), *range(4800 * chunk // 4, 15000, 7 * chunk)]:
        first_new -= first_new % chunk
        expected = _as_told(first_new, chunk, left)
        queries = torch.arange(first_new, first_new + chunk)
        keys = torch.arange(first_new - left * chunk, first_new + chunk)
        places = key_places(queries, keys, chunk, left * chunk)
        seen = visible(queries, keys, chunk, left * chunk)
        for query in range(chunk):
            found = dict(zip(keys.tolist(), places[query].tolist(), strict=True))
            assert {k: v for k, v in found.items() if seen[query, k - keys[0]]} == expected


def test_sinusoids_interleave_sines_and_cosines() -> None:
    table = sinusoids(torch.tensor([0, 3]), 4)
    angles = torch.tensor([3.0, 3.0 / 100])
    assert torch.equal(table[0], torch.tensor([0.0, 1, 0, 1]))
    assert torch.allclose(table[1, 0::2], angles.sin())
    assert torch.allclose(table[1, 1::2], angles.cos())
