"""How many speech tokens each row of a text takes, for whole data directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from freeze_omni.data.audio import read_audio
from freeze_omni.data.progress import parallel_map
from freeze_omni.speech_decoder.timing.aligner import SILENT, Spoken, row_starts
from freeze_omni.speech_decoder.timing.features import FBANK, features, loudness_db, normalise

Rows = Mapping[str, Sequence[str]]  # utterance -> what is written on each row of its text


def durations(
    rows: Rows, recordings: Mapping[str, str], token_counts: Mapping[str, int], nj: int = 1
) -> dict[str, list[int]]:
    """Speech tokens of each row; silence before the first belongs to it, and that behind the last to the last.

    Args:
        recordings: wav.scp entries of the same utterances; token_counts: tokens in all of each.
    """
    ids = [uid for uid in rows if len(rows[uid])]
    sounds = list(parallel_map(_features, [recordings[uid] for uid in ids], nj, "listen", chunk=16))
    heard = normalise(sounds)
    numbers = kinds([rows[uid] for uid in ids])
    spoken = [Spoken(x, loudness_db(raw), kind) for x, raw, kind in zip(heard, sounds, numbers, strict=True)]
    starts = row_starts(spoken)
    return {
        uid: to_tokens(begin, len(one.features), token_counts[uid])
        for uid, begin, one in zip(ids, starts, spoken, strict=True)
    }


def kinds(texts: Sequence[Sequence[str]]) -> list[Tensor]:
    """The kind (N,) of each row: the same for the same letters, in whatever case; SILENT without any."""
    known: dict[str, int] = {}
    found = []
    for rows in texts:
        letters = ["".join(filter(str.isalnum, row)).lower() for row in rows]
        found.append(torch.tensor([known.setdefault(one, len(known) + 1) if one else SILENT for one in letters]))
    return found


def to_tokens(starts: Tensor, frames: int, tokens: int) -> list[int]:
    """Frames (N + 1,) in which rows begin to the tokens of each of N rows, `tokens` in all."""
    ends = (starts[1:].double() * tokens / max(1, frames)).round().long().clamp(max=tokens)
    ends[-1] = tokens
    return ends.diff(prepend=ends.new_zeros(1)).tolist()


def _features(entry: str) -> Tensor:
    return features(torch.from_numpy(read_audio(entry, FBANK.sample_hz)[0]))
