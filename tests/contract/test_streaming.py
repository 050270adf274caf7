"""Every streaming part obeys the law. To add a part, describe it in tests/contract/parts/."""

from __future__ import annotations

import pytest
import torch

from tests.contract import law
from tests.contract.parts import every_part

PARTS = every_part()


@pytest.fixture(params=sorted(PARTS))
def part(request: pytest.FixtureRequest) -> law.Part:
    torch.manual_seed(1)
    return PARTS[request.param]()


def test_chunk_by_chunk_equals_all_at_once(part: law.Part) -> None:
    law.check_chunk_by_chunk(part)


def test_any_split_gives_the_same(part: law.Part) -> None:
    law.check_random_splits(part)


def test_rows_of_different_age_share_a_batch(part: law.Part) -> None:
    law.check_rows_out_of_step(part)


def test_padding_changes_nothing(part: law.Part) -> None:
    law.check_padding(part)


def test_the_past_does_not_depend_on_the_future(part: law.Part) -> None:
    if not part.causal:
        pytest.skip("this part's offline pass may look ahead")
    law.check_causal(part)


def test_states_keep_their_form(part: law.Part) -> None:
    law.check_state(part)
