"""Stage 4 with an endpoint, killed five times, at a small size."""

import pytest

from benchmarks.scale_answers import rows


@pytest.mark.processes
def test_a_stage_that_is_killed_gives_the_same(tmp_path):
    found = {row["key"]: row["value"] for row in rows(300, nj=1, work=tmp_path)}
    assert found["answers_equal_after_kills"] and found["answers_kills"] >= 4
    assert found["answers_peak_mb"] < 1000 and 0 <= found["answers_asked_twice"] <= 5 * 32
