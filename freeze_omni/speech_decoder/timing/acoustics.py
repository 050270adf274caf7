"""What the rows of texts sound like, learned from speech, and how many speech tokens each row takes by that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from scipy.fft import dct
from torch import Tensor

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import whole_file
from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.speech_decoder.timing.aligner import SILENT, Mixtures, Spoken, row_starts, train

CEPSTRA = 13
FBANK = FbankConfig(mel_bins=40)
Rows = Sequence[str]  # the text of each row


@dataclass(frozen=True)
class Acoustics:
    """mean, deviation: (39,) of features, that are normalised by them. kinds: the number of each text of a row; a text
    that is not in it has the next one. mixtures: of the states of all these."""

    mean: Tensor
    deviation: Tensor
    kinds: Mapping[str, int]
    mixtures: Mixtures

    @classmethod
    def learn(cls, features: Sequence[Tensor], texts: Sequence[Rows]) -> Acoustics:
        """From features (F, 39) of utterances and their rows. Raises ValueError: no text has a letter."""
        together = torch.cat(list(features)) if features else torch.zeros(0, 3 * CEPSTRA)
        mean, deviation = together.mean(0), together.std(0).clamp(min=1e-3)
        kinds = kinds_of(texts)
        heard = [_spoken(x, rows, mean, deviation, kinds) for x, rows in zip(features, texts, strict=True)]
        return cls(mean, deviation, kinds, train(heard, len(kinds) + 1))

    def durations(
        self, features: Sequence[Tensor], texts: Sequence[Rows], token_counts: Sequence[int]
    ) -> list[list[int]]:
        """Speech tokens of each row of each utterance, `token_counts` in total. Silence before the first row belongs to
        it, and silence after the last one to the last."""
        each = zip(features, texts, strict=True)
        spoken = [_spoken(x, rows, self.mean, self.deviation, self.kinds) for x, rows in each]
        timed = zip(row_starts(self.mixtures, spoken), features, token_counts, strict=True)
        return [to_tokens(starts, len(x), count) for starts, x, count in timed]

    def save(self, path: Path, made_from: str) -> None:
        content = {"made_from": made_from, "mean": self.mean, "deviation": self.deviation, "kinds": dict(self.kinds)}
        with whole_file(path) as partial:
            torch.save(content | {"mixtures": asdict(self.mixtures)}, partial)

    @classmethod
    def load(cls, path: Path, made_from: str) -> Acoustics | None:
        """What `save` wrote; None if nothing is there, or it was made from something else."""
        if not path.exists():
            return None
        content = torch.load(path, weights_only=True)
        if content.pop("made_from") != made_from:
            return None
        return cls(**content | {"mixtures": Mixtures(**content["mixtures"])})


def kinds_of(texts: Sequence[Rows]) -> dict[str, int]:
    """A number for each text of a row with a letter or digit, in any case, counted from 1."""
    found: dict[str, int] = {}
    for rows in texts:
        for letters in map(_letters, rows):
            if letters:
                found.setdefault(letters, len(found) + 1)
    return found


def numbers(rows: Rows, kinds: Mapping[str, int]) -> Tensor:
    """The kind (N,) of each row: SILENT without a letter, one more than all known for letters that are not."""
    letters = map(_letters, rows)
    return torch.tensor([kinds.get(one, len(kinds) + 1) if one else SILENT for one in letters], dtype=torch.long)


def _letters(row: str) -> str:
    return "".join(filter(str.isalnum, row)).lower()


def _spoken(x: Tensor, rows: Rows, mean: Tensor, deviation: Tensor, kinds: Mapping[str, int]) -> Spoken:
    return Spoken((x - mean) / deviation, _loudness_db(x), numbers(rows, kinds))


def to_tokens(starts: Tensor, frames: int, tokens: int) -> list[int]:
    """Frames (N + 1,) in which rows begin to the number of tokens of each of N rows, `tokens` in total."""
    ends = (starts[1:].double() * tokens / max(1, frames)).round().long().clamp(max=tokens)
    ends[-1] = tokens
    return ends.diff(prepend=ends.new_zeros(1)).tolist()


@torch.no_grad()
def features_of(entry: str) -> Tensor:
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
