"""A corpus of 2,000,000 utterances: memory of preparation, statistics and a training start, and how shards are read.

The tables are real: an id, a text and a place of its own for each utterance. The sound is one of a second, to which all
lead: the shards of the training are one file under many names. What is read for speed has its own bytes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from benchmarks.data_prep import memory_mb
from freeze_omni.data.archives import new_archive
from freeze_omni.data.audio import encode_audio, write_wav
from freeze_omni.data.tables import write_lines

UTTERANCES, SHARD = 2_000_000, 1000
READ_SHARDS, READ_UTTERANCES = 40, 250
READ_S = 12  # seconds of an utterance that is read for speed: 384 kB
STATS_UTTERANCES = 2000
HZ = 16000
ROUNDS = 7
PYTHON = (sys.executable, "-m")
WORDS = ("one", "spider", "has", "eight", "legs", "and", "a", "blue", "whale", "none", "please", "Paris")


def corpus(work: Path, utterances: int = UTTERANCES) -> dict[str, float | dict[str, float]]:
    """corpus_peak_mb: the largest process of fix_data_dir.sh, validate_data_dir.sh, stage 2 and the units, of the
    statistics (of a part of the utterances, with the tables of all), and of a training's first updates: what it holds
    itself; corpus_resident_mb: with the libraries that are mapped into it. epoch_start_s: from the first table that is
    opened to the first batch.
    """
    raw, dump = work / "raw", work / "dump"
    write_corpus(raw, utterances)
    words = [str(raw), str(dump), "--nj", "2"]
    most = {
        name: memory_mb([*PYTHON, f"freeze_omni.bin.{name}_data_dir", *options])
        for name, options in (("fix", [str(raw)]), ("validate", ["--role", "asr", str(raw)]))
    }
    most["preparation"] = memory_mb([*PYTHON, "freeze_omni.bin.format_wav_scp", *words])
    units = ["--text", str(dump / "text"), "--kind", "bpe", "--size", "30", "--output", str(work / "bpe")]
    most["units"] = memory_mb([*PYTHON, "freeze_omni.bin.make_units", *units])
    in_shards(dump, utterances)
    train = training(work, dump)
    most["statistics"] = memory_mb([*train, "--collect_stats", "true", "--output_dir", str(work / "stats")])
    most["training"] = memory_mb([*train, "--output_dir", str(work / "exp")])
    start = [*PYTHON, "benchmarks.scale_corpus", *train[4:], "--output_dir", str(work / "start")]
    seconds = subprocess.run(start, check=True, capture_output=True, text=True).stdout
    resident, own = ({name: round(both[which], 1) for name, both in most.items()} for which in (0, 1))
    return {
        "corpus_peak_mb": max(own.values()),
        "corpus_peaks_mb": own,
        "corpus_resident_mb": resident,
        "corpus_utterances": utterances,
        "epoch_start_s": round(float(seconds.split()[-1]), 3),
    }


def write_corpus(folder: Path, utterances: int) -> None:
    """wav.scp, text and utt2spk of so many utterances, with one file of sound."""
    folder.mkdir(parents=True)
    wav = folder / "one.wav"
    write_wav(wav, np.random.default_rng(1).normal(0, 0.1, HZ).astype(np.float32), HZ)
    with (
        open(folder / "wav.scp", "w") as wavs,
        open(folder / "text", "w") as texts,
        open(folder / "utt2spk", "w") as who,
    ):
        for uid, speaker, text in rows(utterances):
            wavs.write(f"{uid} {wav}\n")
            texts.write(f"{uid} {text}\n")
            who.write(f"{uid} {speaker}\n")


def rows(utterances: int) -> Iterator[tuple[str, str, str]]:
    """Id, speaker and a text of twelve words."""
    for number in range(utterances):
        speaker = f"speaker{number // 200:06d}"
        text = " ".join(WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(12))
        yield f"{speaker}-utterance{number:08d}", speaker, text


def in_shards(dump: Path, utterances: int) -> None:
    """Let wav.scp of a prepared directory lead into shards, which are one file."""
    shards = dump / "archives"
    shards.mkdir()
    sound = encode_audio(np.random.default_rng(2).normal(0, 0.1, HZ).astype(np.float32), HZ)
    with new_archive(shards / "000000.tar") as archive:
        offsets = [archive.add(f"u{number}", sound, "wav", "words") for number in range(SHARD)]
    for number in range(1, -(-utterances // SHARD)):
        os.link(shards / "000000.tar", shards / f"{number:06d}.tar")
    with open(dump / "wav.scp", "w") as wavs:
        for number, (uid, _, _) in enumerate(rows(utterances)):
            wavs.write(f"{uid} {shards}/{number // SHARD:06d}.tar:{offsets[number % SHARD]}\n")


def training(work: Path, dump: Path) -> list[str]:
    """The command of a toy training of stage 1.1 on all of it, of two updates."""
    from freeze_omni.llm.units import CtcUnits
    from tests.tasks.corpus import ENCODER
    from tests.tasks.corpus import write_corpus as write_toy

    CtcUnits.from_characters([" ".join(WORDS)]).save(work / "units")
    conf = {
        "model": {"encoder": ENCODER},
        "optim_conf": {"lr": 1e-3},
        "batch_type": "length",
        "batch_bins": 20 * HZ,
        "max_epoch": 1,
        "num_iters_per_epoch": 2,
        "stats_utterances": STATS_UTTERANCES,
        "use_matplotlib": False,
    }
    (work / "train.yaml").write_text(yaml.safe_dump(conf), encoding="utf-8")
    words = ["--config", str(work / "train.yaml"), "--units", str(work / "units"), "--train_dir", str(dump)]
    words += ["--valid_dir", str(write_toy(work / "valid"))]
    return [*PYTHON, "freeze_omni.bin.train", "encoder", *words]


def first_batch_s(arguments: Sequence[str]) -> float:
    """Seconds from the first table that is opened to the first batch of a training with these options."""
    from espnet2.train.distributed_utils import DistributedOption

    from freeze_omni.tasks.batches import SeededIterFactory
    from freeze_omni.tasks.data_dirs import add_data_dirs
    from freeze_omni.tasks.encoder import EncoderTask

    args = EncoderTask.get_parser().parse_args(arguments)
    EncoderTask.set_up(args)
    begin_s = time.monotonic()
    add_data_dirs(args, EncoderTask.files, (), HZ)
    factory = EncoderTask.build_iter_factory(args, DistributedOption(distributed=False), "train")
    next(iter(SeededIterFactory(factory, args.seed).build_iter(1)))
    return time.monotonic() - begin_s


def shard_read_ratio(work: Path, shards: int = READ_SHARDS, utterances: int = READ_UTTERANCES) -> float:
    """Bytes a second of what a training reads from shards, sounds decoded, to those of plain reading of the same files.

    Neither finds the files in the system's cache. The medians of some rounds, in turns: disks are not always as fast.
    """
    folder = work / "dump"
    write_read_corpus(folder, shards, utterances)
    paths = sorted((folder / "archives").glob("*.tar"))
    size = sum(path.stat().st_size for path in paths)
    speeds: dict[str, list[float]] = {"plain": [], "training": []}
    for _ in range(ROUNDS):
        for name, read in (("plain", lambda: read_plain(paths)), ("training", lambda: read_as_training(folder))):
            forget(paths)
            begin_s = time.monotonic()
            read()
            speeds[name].append(size / (time.monotonic() - begin_s))
    return round(statistics.median(speeds["training"]) / statistics.median(speeds["plain"]), 3)


def write_read_corpus(folder: Path, shards: int, utterances: int) -> None:
    draw, entries = np.random.default_rng(3), {}
    sound = draw.normal(0, 0.1, READ_S * HZ).astype(np.float32)
    for shard in range(shards):
        path = folder / "archives" / f"{shard:06d}.tar"
        with new_archive(path) as archive:
            for number in range(utterances):
                content = encode_audio(np.roll(sound, int(draw.integers(len(sound)))), HZ)
                entries[f"s{shard:06d}-{number:04d}"] = f"{path}:{archive.add(f'u{number}', content, 'wav', 'x')}"
    write_lines(folder / "wav.scp", (f"{uid} {entry}" for uid, entry in entries.items()))
    write_lines(folder / "lengths", (f"{uid} {READ_S * HZ}" for uid in entries))


def forget(paths: Sequence[Path]) -> None:
    """Take files out of the system's cache."""
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_plain(paths: Sequence[Path]) -> None:
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def read_as_training(folder: Path) -> None:
    """All batches of a pass, as a training's reader gives them."""
    from freeze_omni.data.table_file import TableFile
    from freeze_omni.tasks.data_dirs import Sounds
    from freeze_omni.tasks.row_batches import BatchOptions, RowDataset, RowSampler, read_lengths, shards_of

    ids = TableFile(folder / "lengths")
    options = BatchOptions("length", 1, 16 * READ_S * HZ)
    sampler = RowSampler(read_lengths(ids), options, 1, True, shards_of(ids, folder / "wav.scp"))
    data = RowDataset(Sounds(folder / "wav.scp"), ids, sampler)
    for number in sampler.generate(1):
        for uid in data.batch(number):
            data[uid]


if __name__ == "__main__":
    print(first_batch_s(sys.argv[1:]))
