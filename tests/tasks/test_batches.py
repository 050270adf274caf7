"""An epoch's batches from any one on: the same data with any number of workers, and nothing is read that is skipped."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory

from freeze_omni.tasks.batches import SeededIterFactory

BATCHES = [[f"u{number}", f"u{number + 1}"] for number in range(0, 12, 2)]


class Draws:
    """A dataset of random numbers; knows what was read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __getitem__(self, uid: str) -> tuple[str, int]:
        self.read.append(uid)
        return uid, int(np.random.randint(2**31))


def rows(epoch: int = 1, skip: int = 0, data: Draws | None = None, workers: int = 0, **more) -> list:
    options = {"shuffle": True, "num_workers": workers, "collate_fn": list, **more}
    factory = SequenceIterFactory(data or Draws(), BATCHES, **options)
    return list(SeededIterFactory(factory, 3, skip).build_iter(epoch))


def test_the_rest_of_an_epoch_is_that_of_the_whole():
    data = Draws()
    rest = rows(skip=4, data=data)
    assert rest == rows()[4:]
    assert data.read == [uid for uid, _ in chain(*rest)]
    assert rows(skip=6) == []


def test_draws_differ_by_epoch_and_place_but_not_by_workers():
    whole = rows(num_iters_per_epoch=12)  # every batch twice
    assert len({draw for _, draw in chain(*whole)}) == 24
    assert not {draw for _, draw in chain(*whole)} & {draw for _, draw in chain(*rows(2, num_iters_per_epoch=12))}


@pytest.mark.processes
def test_workers_draw_the_same_after_a_skip():
    assert rows(skip=3, workers=2) == rows()[3:]


def test_only_the_first_epoch_skips():
    factory = SeededIterFactory(SequenceIterFactory(Draws(), BATCHES, collate_fn=list), 0, 4)
    assert [len(list(factory.build_iter(epoch))) for epoch in (1, 2)] == [2, 6]


def test_other_iterators_are_read_up_to_the_place():
    class Chunks(AbsIterFactory):
        def build_iter(self, epoch, shuffle=None):
            yield from range(5)

    assert list(SeededIterFactory(Chunks(), 0, 3).build_iter(1)) == [3, 4]
