"""The batches of an epoch from any one on, with random draws that do not depend on what was read before."""

from collections.abc import Iterable
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from torch.utils.data import DataLoader

from freeze_omni.data.lock import leave_claims
from freeze_omni.tasks.signals import end_with_parent_only


class SeededDataset:
    """Seeds numpy's generator for each utterance by the given numbers, the batch's place in its epoch, and the id.

    So an utterance is augmented in the same way with any number of workers and of processes, and after a resume.
    """

    def __init__(self, dataset: Any, *seed: int):
        self.dataset, self.seed = dataset, seed

    def __getitems__(self, batch: tuple[int, int | list[str]]) -> list[Any]:
        """batch: its place, and its ids, or its number in a `RowDataset`."""
        place, found = batch
        ids = self.dataset.batch(found) if isinstance(found, int) else found
        return [self._read(place, uid) for uid in ids]

    def _read(self, place: int, uid: str) -> Any:
        np.random.seed([*self.seed, place, crc32(str(uid).encode())])
        return self.dataset[uid]


class SeededIterFactory(AbsIterFactory):
    """ESPnet's batches on a `SeededDataset`. skip: batches that the first epoch leaves out; they are not loaded."""

    def __init__(self, factory: AbsIterFactory, seed: int, skip: int = 0):
        self.factory, self.seed, self.skip = factory, seed, skip

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> Iterable[Any]:
        batches = self.factory.build_iter(epoch, shuffle)
        skip, self.skip = self.skip, 0
        if not isinstance(batches, DataLoader):  # of several iterators, or of chunks: reads what it skips
            return islice(batches, skip, None)
        return DataLoader(
            SeededDataset(batches.dataset, self.seed, epoch),
            batch_sampler=list(enumerate(batches.batch_sampler))[skip:],
            num_workers=batches.num_workers,
            collate_fn=batches.collate_fn,
            pin_memory=batches.pin_memory,
            worker_init_fn=_begin_reading,
        )


def _begin_reading(worker: int) -> None:
    """A worker outlives a group's signals, as its trainer does, but not its trainer."""
    end_with_parent_only()
    leave_claims()
