"""The measures of a large corpus, on a small one."""

from __future__ import annotations

import pytest

from benchmarks import scale_corpus


def test_shards_are_read_and_compared(tmp_path):
    assert scale_corpus.shard_read_ratio(tmp_path, 2, 6) > 0


@pytest.mark.processes
def test_the_steps_run_and_say_their_memory(tmp_path):
    found = scale_corpus.corpus(tmp_path, 3000)
    steps = {"fix", "validate", "preparation", "units", "statistics", "training"}
    assert set(found["corpus_peaks_mb"]) == steps
    assert found["corpus_peak_mb"] == max(found["corpus_peaks_mb"].values()) > 50
    own, resident = found["corpus_peaks_mb"], found["corpus_resident_mb"]
    assert all(5 < own[step] < resident[step] for step in steps)
    assert 0 < found["epoch_start_s"] < 60
