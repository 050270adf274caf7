"""Batches by row number: those of ESPnet, mixed by corpus, shard by shard, and the same after a resume."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.samplers.build_batch_sampler import build_batch_sampler
from espnet2.train.dataset import ESPnetDataset

from freeze_omni.config import ConfigError
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.prepare import PrepareConfig, prepare_dir
from freeze_omni.data.table_file import TableFile
from freeze_omni.tasks import row_batches
from freeze_omni.tasks.batches import SeededIterFactory
from freeze_omni.tasks.data_dirs import add_data_dirs
from freeze_omni.tasks.encoder import EncoderTask
from freeze_omni.tasks.row_batches import (
    BatchOptions,
    IdBatches,
    RowDataset,
    RowSampler,
    Shards,
    build_sampler,
    corpora_of,
    read_lengths,
)
from tests.data.conftest import tone

DRAW = np.random.default_rng(3)
LENGTHS = DRAW.integers(1, 60, 200)


@pytest.fixture
def lengths(tmp_path) -> Path:
    path = tmp_path / "lengths"
    path.write_text("".join(f"u{number:03d} {length}\n" for number, length in enumerate(LENGTHS)))
    return path


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", ["unsorted", "sorted", "length"])
@pytest.mark.parametrize(("inner", "outer"), [("descending", "ascending"), ("ascending", "descending")])
@pytest.mark.parametrize(("size", "bins", "fewest"), [(7, 300, 1), (300, 100, 4), (1, 20, 1)])
def test_the_batches_are_those_of_espnet(lengths, kind, inner, outer, drop_last, size, bins, fewest):
    order = {"sort_in_batch": inner, "sort_batch": outer, "drop_last": drop_last}
    known = build_batch_sampler(kind, size, bins, [str(lengths)], min_batch_size=fewest, **order)
    table = TableFile(lengths)
    sampler = RowSampler(read_lengths(table), BatchOptions(kind, size, bins, fewest, inner, outer, drop_last))
    data = RowDataset(None, table, sampler)
    assert [tuple(data.batch(number)) for number in sampler] == [tuple(batch) for batch in known]
    assert len(sampler) == len(known)


def test_each_process_has_its_part_of_each_batch(lengths):
    table = TableFile(lengths)
    sampler = RowSampler(read_lengths(table), BatchOptions("length", 1, 300, 4))
    parts = [RowDataset(None, table, sampler, rank, 4) for rank in range(4)]
    for number in sampler:
        whole = RowDataset(None, table, sampler).batch(number)
        assert [part.batch(number) for part in parts] == [whole[rank::4] for rank in range(4)]
        assert all(part.batch(number) for part in parts)


def shard_sampler(weights=(1.0,), **more) -> RowSampler:
    shards = Shards(np.arange(200) // 20, tuple(f"/dev/null{number}" for number in range(10)))
    corpora = (np.arange(200) % len(weights), list(weights))
    return RowSampler(LENGTHS, BatchOptions("length", 1, 200), 5, True, shards, 2, corpora, **more)


def test_a_pass_reads_each_utterance_once_and_window_after_window():
    sampler = shard_sampler()
    one, two = sampler.generate(1), sampler.generate(2)
    assert one != two and one == sampler.generate(1) and len(one) == len(two) == len(sampler)
    assert sorted(row for number in one for row in sampler.rows(number)) == list(range(200))
    windows = sampler.windows[one]
    assert len(np.flatnonzero(np.diff(windows))) == 4, "five windows, each read in one run"
    for number in one:
        assert len({int(row) // 20 for row in sampler.rows(number)}) <= 2
        assert len(sampler.rows(number)) * LENGTHS[sampler.rows(number)].max() < 200 + 60
    assert len(sampler.shards_in(int(windows[0]))) == 2


def test_the_shards_of_the_next_window_are_read_ahead_once(monkeypatch):
    sampler, asked = shard_sampler(), []
    monkeypatch.setattr(row_batches, "read_ahead", asked.append)
    ids = SimpleNamespace(item=lambda row: (f"u{row}", ""))
    data, order = RowDataset({}, ids, sampler), sampler.generate(3)
    for number in order:
        data.batch(number)
    windows = [int(window) for window, _ in itertools.groupby(sampler.windows[order])]
    shards = [sampler.shards_in(window) for window in windows]
    assert asked == [shards[0] + shards[1], *shards[2:], []]


def test_weights_say_how_often_a_corpus_is_read():
    sampler = shard_sampler((2.0, 0.5, 0.0))
    counts = [len([n for n in range(len(sampler.sizes)) if sampler.rows(n)[0] % 3 == corpus]) for corpus in range(3)]
    for seed in (1, 2):
        found = [0, 0, 0]
        for number in sampler.generate(seed):
            corpora = {int(row) % 3 for row in sampler.rows(number)}
            assert len(corpora) == 1
            found[corpora.pop()] += 1
        assert found == [2 * counts[0], round(0.5 * counts[1]), 0] and sum(found) == len(sampler)
    plain = RowSampler(LENGTHS, BatchOptions("length", 1, 200), corpora=(np.arange(200) % 2, [1.0, 1.0]))
    assert sorted(row for number in plain for row in plain.rows(number)) == list(range(200))


def test_wrong_weights_are_named(lengths, tmp_path):
    table, corpora = TableFile(lengths), tmp_path / "utt2corpus"
    corpora.write_text("".join(f"u{number:03d} {'ab'[number % 2]}\n" for number in range(200)))
    numbers, weights = corpora_of(table, corpora, {"b": 0.25})
    assert weights == [1.0, 0.25] and numbers[:3].tolist() == [0, 1, 0]
    with pytest.raises(ConfigError, match="no c in .*utt2corpus, but a, b"):
        corpora_of(table, corpora, {"c": 1})
    with pytest.raises(ConfigError, match="not all 0"):
        corpora_of(table, corpora, {"a": 0, "b": 0})
    corpora.write_text("u000 a\n")
    with pytest.raises(ConfigError, match="no u001"):
        corpora_of(table, corpora, {"a": 1})


def test_statistics_are_of_ids_at_even_distances(lengths):
    table = TableFile(lengths)
    assert [uid for batch in IdBatches(table, 7) for uid in batch] == list(table)
    few = list(IdBatches(table, 3, 10))
    assert [len(batch) for batch in few] == [3, 3, 3, 1] == [3] * (len(IdBatches(table, 3, 10)) - 1) + [1]
    assert few[1] == ["u060", "u080", "u100"]


@pytest.fixture
def shards(tmp_path) -> argparse.Namespace:
    """Options of a training on six tar shards of two utterances, ready for its iterators."""
    ids = [f"s-{number:02d}" for number in range(12)]
    wavs = {uid: tone(0.3 + 0.05 * number) for number, uid in enumerate(ids)}
    for uid, wav in wavs.items():
        soundfile.write(tmp_path / f"{uid}.wav", wav, 16000)
    paths = {uid: tmp_path / f"{uid}.wav" for uid in ids}
    write_set(tmp_path / "data", paths, {uid: f"words of {uid}" for uid in ids}, dict.fromkeys(ids, "s"))
    prepare_dir(tmp_path / "data", tmp_path / "dump", PrepareConfig(shards=2))
    folder = str(tmp_path / "dump")
    words = ["--output_dir", str(tmp_path / "exp"), "--train_dir", folder, "--valid_dir", folder]
    args = EncoderTask.get_parser().parse_args([*words, "--batch_bins", "15000", "--shard_window", "2"])
    add_data_dirs(args, EncoderTask.files, (), 16000)
    return args


def epoch(args: argparse.Namespace, number: int, skip: int = 0) -> list[list]:
    options = argparse.Namespace(
        shape_files=args.train_shape_file,
        data_path_and_name_and_type=args.train_data_path_and_name_and_type,
        batch_type="length",
        batch_size=1,
        batch_bins=args.batch_bins,
        train=True,
    )
    ids, sampler = build_sampler(args, options, 1)
    data = RowDataset(ESPnetDataset(args.train_data_path_and_name_and_type, preprocess=as_arrays), ids, sampler)
    factory = SequenceIterFactory(data, sampler, seed=1, shuffle=False, collate_fn=list, num_iters_per_epoch=5)
    return list(SeededIterFactory(factory, 1, skip).build_iter(number))


def as_arrays(uid: str, data: dict) -> dict:
    drawn = np.random.random(1)
    return {
        "speech": data["speech"],
        "text": np.frombuffer(data["text"].encode(), np.uint8).astype(int),
        "drawn": drawn,
    }


def same(one, other) -> bool:
    (uid, left), (other_uid, right) = one, other
    return uid == other_uid and all(np.array_equal(left[name], right[name]) for name in left)


def test_training_on_shards_goes_on_at_the_exact_utterance(shards):
    for number in (1, 2):
        whole, rest = epoch(shards, number), epoch(shards, number, 2)
        assert len(whole) == 5 and len(rest) == 3
        pairs = zip(whole[2:], rest, strict=True)
        assert all(same(*two) for one, other in pairs for two in zip(one, other, strict=True))
    uid, data = whole[0][0]
    assert bytes(data["text"].astype(np.uint8)).decode() == f"words of {uid}"
    assert len(data["speech"]) == round((0.3 + 0.05 * int(uid[-2:])) * 16000)
