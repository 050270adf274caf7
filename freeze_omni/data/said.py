"""What a transcriber says of the recordings of a data directory, computed once: the table `said`.

Of each token of the LLM three numbers: its id, the chunk that says it, and the encoder frame after its sound.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import torch

from freeze_omni.data.audio import read_audio
from freeze_omni.data.corpora.shards import write_sorted
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.table_file import TableFile
from freeze_omni.data.tables import each_line, read_table, write_table

SAID = "said"
SHARD_UTTERANCES = 48
SAMPLE_HZ = 16000
SOUNDS_AT_ONCE = 16  # of similar lengths

Sounds = Sequence[torch.Tensor]


def dump_said(
    transcribe: Callable[[Sounds], Sequence[Sequence[int]]], data_dir: Path, output_dir: Path, part: Part = WHOLE
) -> int:
    """Write the table for wav.scp; returns the utterances. transcribe: samples (S,) of some sounds to the numbers of
    each. part: writes its pieces alone. A killed run resumes after the last finished piece.

    Raises TableError, AudioError: wav.scp or an utterance cannot be read.
    """
    recordings = TableFile(data_dir / "wav.scp")
    output_dir.mkdir(parents=True, exist_ok=True)
    shards = part.of(recordings.pieces(SHARD_UTTERANCES))

    def work(lines: range) -> int:
        table = output_dir / f"{SAID}.{lines.start // SHARD_UTTERANCES}"
        shard = dict(map(recordings.item, lines))
        if not table.exists() or read_table(table, need_value=False).keys() != shard.keys():
            write_table(table, _said(transcribe, shard))
        return len(shard)

    done = sum(parallel_map(work, shards, nj=1, title="dump_said"))
    if part.alone:
        made = (output_dir / f"{SAID}.{number}" for number in range(len(shards)))
        write_sorted(output_dir / SAID, chain.from_iterable(map(each_line, made)))
    return done


def _said(transcribe: Callable[[Sounds], Sequence[Sequence[int]]], recordings: dict[str, str]) -> dict[str, str]:
    sounds = {uid: torch.from_numpy(read_audio(entry, SAMPLE_HZ)[0]).float() for uid, entry in recordings.items()}
    ids, found = sorted(sounds, key=lambda uid: len(sounds[uid])), {}
    for start in range(0, len(ids), SOUNDS_AT_ONCE):
        some = ids[start : start + SOUNDS_AT_ONCE]
        for uid, numbers in zip(some, transcribe([sounds[uid] for uid in some]), strict=True):
            found[uid] = " ".join(map(str, numbers))
    return {uid: found[uid] for uid in recordings}
