"""How many speech tokens each row of a text takes, for whole data directories."""

import math
from collections.abc import Mapping, Sequence

import torch
from scipy.fft import dct
from torch import Tensor

from freeze_omni.data.audio import read_audio
from freeze_omni.data.progress import parallel_map
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.speech_decoder.timing.aligner import SILENT, Spoken, row_starts

CEPSTRA = 13
FBANK = FbankConfig(mel_bins=40)
Rows = Mapping[str, Sequence[str]]  # utterance -> the text of each row


def durations(
    rows: Rows, recordings: Mapping[str, str], token_counts: Mapping[str, int], nj: int = 1
) -> dict[str, list[int]]:
    """Speech tokens of each row; silence before the first belongs to it, and silence after the last to the last.

    recordings: wav.scp entries of the same utterances; token_counts: the number of tokens of each.
    """
    ids = [uid for uid in rows if len(rows[uid])]
    sounds = list(parallel_map(_features, [recordings[uid] for uid in ids], nj, "listen", chunk=16))
    together = torch.cat(sounds)
    mean, deviation = together.mean(0), together.std(0).clamp(min=1e-3)
    heard = zip(sounds, kinds([rows[uid] for uid in ids]), strict=True)
    starts = row_starts([Spoken((x - mean) / deviation, _loudness_db(x), kind) for x, kind in heard])
    timed = zip(ids, starts, sounds, strict=True)
    return {uid: to_tokens(begin, len(sound), token_counts[uid]) for uid, begin, sound in timed}


def kinds(texts: Sequence[Sequence[str]]) -> list[Tensor]:
    """The kind (N,) of each row: the same for the same letters in any case; SILENT without letters."""
    known: dict[str, int] = {}
    found = []
    for rows in texts:
        letters = ["".join(filter(str.isalnum, row)).lower() for row in rows]
        found.append(torch.tensor([known.setdefault(one, len(known) + 1) if one else SILENT for one in letters]))
    return found


def to_tokens(starts: Tensor, frames: int, tokens: int) -> list[int]:
    """Frames (N + 1,) in which rows begin to the number of tokens of each of N rows, `tokens` in total."""
    ends = (starts[1:].double() * tokens / max(1, frames)).round().long().clamp(max=tokens)
    ends[-1] = tokens
    return ends.diff(prepend=ends.new_zeros(1)).tolist()


@torch.no_grad()
def _features(entry: str) -> Tensor:
    """A wav.scp entry to thirteen cepstra with their changes (F, 39), a hundred times a second, not normalised."""
    wav = torch.from_numpy(read_audio(entry, FBANK.sample_hz)[0])
    fbank = Fbank(FBANK)(wav[None], torch.tensor([len(wav)]))[0][0]
    cepstra = torch.from_numpy(dct(fbank.numpy(), norm="ortho")[:, :CEPSTRA].copy())
    change = _change(cepstra)
    return torch.cat([cepstra, change, _change(change)], 1)


def _loudness_db(x: Tensor) -> Tensor:
    """The mean over the bins (F,) of each frame of features (F, 39) that are not normalised."""
    return x[:, 0] * 10 / (math.log(10) * FBANK.mel_bins**0.5)


def _change(x: Tensor) -> Tensor:
    """Slope over two frames on either side (F, D)."""
    around = torch.nn.functional.pad(x.T[None], (2, 2), mode="replicate")[0].T
    return (2 * (around[4:] - around[:-4]) + around[3:-1] - around[1:-3]) / 10
