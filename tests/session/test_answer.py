"""The schedule of an answer's codec chunks."""

from __future__ import annotations

import pytest

from freeze_omni.session.answer import ChunkSchedule


def test_chunks_grow_up_to_the_last_size():
    assert [ChunkSchedule(8, 24, 1.5).size(chunk) for chunk in range(6)] == [8, 12, 18, 24, 24, 24]
    assert [ChunkSchedule(20, 40, 2.0).size(chunk) for chunk in (0, 1, 10**6)] == [20, 40, 40]
    assert ChunkSchedule(6, 6, 1.0).size(10**6) == 6


@pytest.mark.parametrize("wrong", [(0, 8, 1.5), (9, 8, 1.5), (4, 8, 0.5)])
def test_chunks_that_shrink_are_refused(wrong):
    with pytest.raises(ValueError, match="must not shrink"):
        ChunkSchedule(*wrong)
