"""The batches of a corpus of any size: rows by number, bucketed by duration, mixed by corpus, shard by shard.

ESPnet's samplers hold each id several times; these hold twelve bytes an utterance, and give the same batches.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler
from numpy.typing import NDArray

from freeze_omni.config import ConfigError
from freeze_omni.data.archives import read_ahead
from freeze_omni.data.table_file import TableFile, joined

CORPORA = "utt2corpus"
BATCH_TYPES = ("unsorted", "sorted", "length")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BatchOptions:
    """ESPnet's options of batches. bins: samples of a batch with its padding; size: utterances of one."""

    kind: str
    size: int
    bins: int
    fewest: int = 1
    sort_in_batch: str = "descending"
    sort_batch: str = "ascending"
    drop_last: bool = False


def batches_of(lengths: Ints, options: BatchOptions) -> tuple[Ints, Ints]:
    """Lengths (N,) -> rows (N,) in batches, and the end of each batch (B,): the batches of ESPnet's samplers."""
    descending = options.sort_in_batch == "descending"
    if options.kind == "length":
        rows = np.argsort(lengths, kind="stable")
        ends = _length_ends(lengths[rows], options)
        if descending:
            starts = np.concatenate([[0], ends[:-1]])
            rows = np.concatenate([rows[start:end][::-1] for start, end in zip(starts, ends, strict=True)])
        return _ordered(rows, ends, options.sort_batch == "descending")
    count = len(lengths)
    rows = np.arange(count)
    if options.kind == "sorted":
        rows = np.argsort(-lengths if descending else lengths, kind="stable")
    number = max(count // options.size, 1)
    ends = np.arange(1, number + 1) * (options.size if options.drop_last else count)
    ends = np.minimum(ends, count) if options.drop_last else ends // number
    return _ordered(rows, ends, options.kind == "sorted" and options.sort_in_batch != options.sort_batch)


def _length_ends(ascending: Ints, options: BatchOptions) -> Ints:
    ends, start = [], 0
    for at, length in enumerate(ascending.tolist(), start=1):
        if (at - start) * length > options.bins and at - start >= options.fewest:
            ends.append(at)
            start = at
    if start < len(ascending) and (not options.drop_last or not ends):
        ends.append(len(ascending))
    sizes = np.diff([0, *ends])
    if len(sizes) > 1 and sizes[-1] < options.fewest:  # its rows go to the batches before, one each
        sizes, last = sizes[:-1], int(sizes[-1])
        for number in range(last):
            sizes[-(number % len(sizes)) - 1] += 1
    return np.cumsum(sizes)


def _ordered(rows: Ints, ends: Ints, reverse: bool) -> tuple[Ints, Ints]:
    if not reverse:
        return rows[: ends[-1]], ends
    starts = np.concatenate([[0], ends[:-1]])
    parts = [rows[start:end] for start, end in zip(starts[::-1], ends[::-1], strict=True)]
    return np.concatenate(parts), np.cumsum([len(one) for one in parts])


@dataclass(frozen=True)
class Shards:
    """Which archive each utterance is in: numbers (N,) into the paths."""

    numbers: Ints
    paths: tuple[str, ...]


def shards_of(ids: TableFile, wav_scp: Path) -> Shards | None:
    """None if the sounds are not all in tar shards."""
    if ".tar:" not in TableFile(wav_scp).item(0)[1]:
        return None
    known: dict[str, int] = {}
    numbers = np.zeros(len(ids), np.int64)
    for row, (_, (_, entry), _) in enumerate(joined([ids, TableFile(wav_scp)])):
        path, _, offset = entry.rpartition(".tar:")
        if not offset.isdigit() or not path:
            return None
        numbers[row] = known.setdefault(f"{path}.tar", len(known))
    return Shards(numbers, tuple(known))


def corpora_of(ids: TableFile, utt2corpus: Path, weights: Mapping[str, float]) -> tuple[Ints, list[float]]:
    """The corpus of each utterance (N,), and the weights by number. Raises ConfigError: a wrong name or weight."""
    known: dict[str, int] = {}
    numbers = np.full(len(ids), -1, np.int64)
    for row, (uid, _, corpus) in enumerate(joined([ids], TableFile(utt2corpus))):
        if corpus is None:
            raise ConfigError(f"{utt2corpus}: no {uid}; make it again (stage 2)")
        numbers[row] = known.setdefault(corpus, len(known))
    if unknown := set(weights) - set(known):
        raise ConfigError(f"corpus_weights: no {sorted(unknown)[0]} in {utt2corpus}, but {', '.join(sorted(known))}")
    found = [float(weights.get(name, 1.0)) for name in known]
    if min(found) < 0 or not any(found):
        raise ConfigError(f"corpus_weights: {dict(weights)}: give numbers of 0 or more, not all 0")
    return numbers, found


class RowSampler(AbsSampler):
    """Numbers of batches, in the order of an epoch; `rows` has what they are.

    window: shards that are read at a time. Utterances of a window make batches together, and a pass over the corpus
    goes from window to window, so that the disk is read in one run.
    weights: how often each corpus is read in a pass; 0.3 is three tenths of its batches, others each time.
    """

    def __init__(
        self,
        lengths: Ints,
        options: BatchOptions,
        seed: int = 0,
        shuffle: bool = True,
        shards: Shards | None = None,
        window: int = 8,
        corpora: tuple[Ints, Sequence[float]] | None = None,
    ):
        self.shards, self.shuffle = shards, shuffle
        self._next: dict[int, int] = {}  # window after a window, in the pass that was generated last
        window_of = np.zeros(len(lengths), np.int64)
        if shards is not None:
            order = np.arange(len(shards.paths))
            if shuffle:
                np.random.RandomState(seed).shuffle(order)
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            window_of = place[shards.numbers] // window
        corpus_of, self.weights = corpora if corpora is not None else (np.zeros(len(lengths), np.int64), [1.0])
        self._group(lengths, options, window_of, corpus_of)
        if not len(self):
            raise ConfigError("no batch is left: corpus_weights are too small for the corpora")

    def _group(self, lengths: Ints, options: BatchOptions, window_of: Ints, corpus_of: Ints) -> None:
        rows, ends, windows, corpora, done = [], [], [], [], 0
        groups = window_of * len(self.weights) + corpus_of
        by_group = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[by_group])) + 1
        for members in np.split(by_group, cuts):
            found, found_ends = batches_of(lengths[members], options)
            rows.append(members[found].astype(np.int32))
            ends.append(found_ends + done)
            done += len(found)
            windows.append(np.full(len(found_ends), window_of[members[0]], np.int32))
            corpora.append(np.full(len(found_ends), corpus_of[members[0]], np.int32))
        self._rows, self._ends = np.concatenate(rows), np.concatenate([[0], *ends])
        self.windows, self._corpora = np.concatenate(windows), np.concatenate(corpora)
        self._shares = [round(weight * int((self._corpora == one).sum())) for one, weight in enumerate(self.weights)]

    def rows(self, batch: int) -> NDArray[np.int32]:
        return self._rows[self._ends[batch] : self._ends[batch + 1]]

    @property
    def sizes(self) -> Ints:
        """Utterances of each batch."""
        return np.diff(self._ends)

    def next_window(self, window: int) -> int | None:
        """The one that is read after it."""
        return self._next.get(window)

    def shards_in(self, window: int | None) -> list[str]:
        """Paths of the shards that a window reads."""
        if self.shards is None or window is None:
            return []
        first, last = np.searchsorted(self.windows, [window, window + 1])
        found = self.shards.numbers[self._rows[self._ends[first] : self._ends[last]]]
        return [self.shards.paths[number] for number in np.unique(found)]

    def __len__(self) -> int:
        return sum(self._shares)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.generate(0))

    def generate(self, seed: int) -> list[int]:
        """One pass. The same seed gives the same; all passes are of one length."""
        draw = np.random.RandomState(seed)
        chosen, copies = [], []
        for corpus, count in enumerate(self._shares):
            own = np.flatnonzero(self._corpora == corpus)
            whole, rest = divmod(count, max(len(own), 1))
            drawn = np.sort(draw.permutation(own)[:rest]) if rest else own[:0]
            for copy, some in enumerate([*[own] * whole, drawn]):
                chosen.append(some)
                copies.append(np.full(len(some), copy))
        numbers, copy_of = np.concatenate(chosen), np.concatenate(copies)
        if self.shards is not None:
            batches = self._by_window(numbers, copy_of, draw)
            windows = self.windows[batches].tolist()
            self._next = {one: other for one, other in itertools.pairwise(windows) if one != other}
            return batches
        return numbers.tolist()

    def _by_window(self, numbers: Ints, copy_of: Ints, draw: np.random.RandomState) -> list[int]:
        """Windows in random order, and the batches of each; a second copy comes with a later reading of its window."""
        _, places = np.unique(copy_of * (int(self.windows.max()) + 1) + self.windows[numbers], return_inverse=True)
        if not self.shuffle:
            return numbers[np.argsort(places, kind="stable")].tolist()
        order = draw.permutation(int(places.max()) + 1)
        return numbers[np.lexsort((draw.random_sample(len(numbers)), order[places]))].tolist()


class RowDataset:
    """ESPnet's dataset, of which a batch is read by its number.

    rank, world: the part of each batch that this process reads. When a window's first batch is read, its shards and
    those of the next window are read ahead.
    """

    def __init__(self, dataset: Any, ids: TableFile, sampler: RowSampler, rank: int = 0, world: int = 1):
        self.dataset, self.ids, self.sampler, self.rank, self.world = dataset, ids, sampler, rank, world
        self._window: int | None = None
        self._ahead: int | None = None

    def batch(self, number: int) -> list[str]:
        """Ids of a batch."""
        window = int(self.sampler.windows[number])
        if window != self._window:
            now = window if window != self._ahead else None
            self._window, self._ahead = window, self.sampler.next_window(window)
            read_ahead(self.sampler.shards_in(now) + self.sampler.shards_in(self._ahead))
        return [self.ids.item(int(row))[0] for row in self.sampler.rows(number)[self.rank :: self.world]]

    def __getitem__(self, uid: str) -> Any:
        return self.dataset[uid]

    def __getitems__(self, number: int) -> list[Any]:
        return [self.dataset[uid] for uid in self.batch(number)]

    def __repr__(self) -> str:
        return repr(self.dataset)


class IdBatches:
    """Batches of ids of a table, in its order. most: so many of its utterances, at even distances; 0: all."""

    def __init__(self, ids: TableFile, size: int, most: int = 0):
        self.ids, self.size, self.count = ids, size, min(most or len(ids), len(ids))

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[list[str]]:
        for start in range(0, self.count, self.size):
            numbers = range(start, min(start + self.size, self.count))
            yield [self.ids.item(number * len(self.ids) // self.count)[0] for number in numbers]


def build_sampler(args: argparse.Namespace, iter_options: Any, world: int) -> tuple[TableFile, RowSampler]:
    """The ids of a training or validation set, and its batches; each has a row for each of the `world` processes.

    Raises ConfigError: corpus_weights without the table utt2corpus, or as `corpora_of`.
    """
    ids = TableFile(iter_options.shape_files[0])
    folder = Path(iter_options.data_path_and_name_and_type[0][0]).parent
    options = BatchOptions(
        iter_options.batch_type,
        iter_options.batch_size,
        iter_options.batch_bins,
        max(world, args.min_batch_size),
        args.sort_in_batch,
        args.sort_batch,
        args.drop_last_iter,
    )
    shards = corpora = None
    if iter_options.train and args.corpus_weights:
        if not (folder / CORPORA).exists():
            raise ConfigError(f"corpus_weights: no {folder / CORPORA}; stage 2 writes it where it joins several sets")
        corpora = corpora_of(ids, folder / CORPORA, args.corpus_weights)
    sounds = [path for path, _, kind in iter_options.data_path_and_name_and_type if kind == "sound"]
    if iter_options.train and sounds:
        shards = shards_of(ids, Path(sounds[0]))
    sampler = RowSampler(read_lengths(ids), options, args.seed, iter_options.train, shards, args.shard_window, corpora)
    if sampler.sizes.min() < world:
        raise ConfigError(f"a batch of {sampler.sizes.min()} utterances for {world} processes; give a larger batch")
    return ids, sampler


def read_lengths(table: TableFile) -> Ints:
    """The whole numbers of a table, in C order of its ids, which is that of the file."""
    return np.fromiter((int(value) for _, value in table.sorted_items()), np.int64, len(table))
