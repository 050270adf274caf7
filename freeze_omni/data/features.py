"""Features of a data directory, computed once: Kaldi's feats.scp and ark files, in place of the sound.

What a frozen frontend makes of a recording does not change in training, so training costs the parts after it alone.
"""

import shutil
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from omniio import kaldi

from freeze_omni.data.audio import read_audio
from freeze_omni.data.corpora.shards import write_sorted
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.table_file import TableFile
from freeze_omni.data.tables import each_line, read_table, write_table

FEATS, FRAMES = "feats.scp", "utt2num_frames"
SHARD_UTTERANCES = 200
SAMPLE_HZ = 16000
TWO_BYTES = 3  # Kaldi's kTwoByteAuto: half the space of float32
SOUNDS_AT_ONCE = 16  # of similar lengths

Sounds = Sequence[torch.Tensor]


def dump_features(
    frontend: Callable[[Sounds], Sounds],
    data_dir: Path,
    output_dir: Path,
    change: Callable[[str, np.ndarray], np.ndarray] | None = None,
    part: Part = WHOLE,
) -> int:
    """Write feats.scp, its archives and utt2num_frames, and copy the other tables; returns the utterances.

    frontend: samples (S,) of some sounds to features (F, D) of each. change: (id, samples) to samples, such as noise
    and rooms for training. part: writes its archives alone.
    A killed run resumes after the last finished archive. Memory does not grow with the set.
    Raises TableError, AudioError: wav.scp or an utterance cannot be read.
    """
    recordings = TableFile(data_dir / "wav.scp")
    output_dir.mkdir(parents=True, exist_ok=True)
    shards = part.of(recordings.pieces(SHARD_UTTERANCES))

    def work(lines: range) -> int:
        scp, lengths = (output_dir / f"{name}.{lines.start // SHARD_UTTERANCES}" for name in (FEATS, FRAMES))
        shard = dict(map(recordings.item, lines))
        if not lengths.exists() or read_table(lengths).keys() != shard.keys():
            _write_shard(frontend, shard, scp, lengths, change)
        return len(shard)

    done = sum(parallel_map(work, shards, nj=1, title="dump_feats"))
    if not part.alone:
        return done
    for table in data_dir.iterdir():
        if table.is_file() and table.name != "wav.scp":
            shutil.copy(table, output_dir)
    for name in (FRAMES, FEATS):
        made = (output_dir / f"{name}.{number}" for number in range(len(shards)))
        write_sorted(output_dir / name, chain.from_iterable(map(each_line, made)))
    return done


def _write_shard(
    frontend: Callable[[Sounds], Sounds],
    recordings: dict[str, str],
    scp: Path,
    lengths: Path,
    change: Callable[[str, np.ndarray], np.ndarray] | None,
) -> None:
    sounds: dict[str, torch.Tensor] = {}
    for uid, entry in recordings.items():
        samples, _ = read_audio(entry, SAMPLE_HZ)
        sounds[uid] = torch.from_numpy(samples if change is None else change(uid, samples).astype(np.float32))
    ids = sorted(sounds, key=lambda uid: len(sounds[uid]))
    feats: dict[str, np.ndarray] = {}
    for start in range(0, len(ids), SOUNDS_AT_ONCE):
        some = ids[start : start + SOUNDS_AT_ONCE]
        found = frontend([sounds[uid] for uid in some])
        feats |= {uid: one.float().cpu().numpy() for uid, one in zip(some, found, strict=True)}
    ark = scp.with_name(scp.name.replace(".scp", "") + ".ark")
    with kaldi.WriteHelper(f"ark,scp:{ark},{scp}", compression_method=TWO_BYTES) as writer:
        for uid in recordings:
            writer[uid] = feats[uid]
    write_table(lengths, {uid: str(len(feats[uid])) for uid in recordings})  # last: it says that the archive is whole
