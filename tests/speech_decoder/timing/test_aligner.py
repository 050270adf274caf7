"""Viterbi training from a flat start finds rows that sound different, silence and mute letters among them."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.speech_decoder.timing.aligner import SILENT, Spoken, row_starts, train


def speak(draw: torch.Generator, sounds: torch.Tensor) -> tuple[Spoken, list[int]]:
    """A sentence of eight letters of 4 to 9 frames, two pauses, one letter that is written only; and the truth."""
    kinds = torch.randint(1, 6, (8,), generator=draw).tolist()
    rows = kinds[:3] + [SILENT] + kinds[3:6] + [SILENT] + kinds[6:]
    sizes = torch.randint(4, 10, (len(rows),), generator=draw).tolist()
    sizes[7] = 0  # a pause that is not made
    frames, starts = [sounds[SILENT].expand(12, -1)], []
    for kind, size in zip(rows, sizes, strict=True):
        starts.append(sum(map(len, frames)))
        frames.append(sounds[kind].expand(size, -1))
    ends = sum(map(len, frames))
    heard = torch.cat([*frames, sounds[SILENT].expand(9, -1)])
    loud = (heard != sounds[SILENT]).any(1)
    heard = heard + 0.3 * torch.randn(heard.shape, generator=draw)
    return Spoken(heard, 60.0 * loud, torch.tensor(rows)), [*starts, ends]


def test_rows_are_found_where_they_are_spoken():
    draw = torch.Generator().manual_seed(1)
    sounds = torch.randn(6, 5, generator=draw)
    spoken = [speak(draw, sounds) for _ in range(60)]
    utterances = [one for one, _ in spoken]
    found = row_starts(train(utterances, 5, passes=((1, 6), (2, 2))), utterances)
    off = torch.cat([(starts - torch.tensor(truth)).abs() for starts, (_, truth) in zip(found, spoken, strict=True)])
    assert off.float().mean() < 1.0 and (off > 6).float().mean() < 0.03


def test_a_corpus_without_letters_is_refused():
    silent = Spoken(torch.zeros(4, 2), torch.zeros(4), torch.tensor([SILENT]))
    with pytest.raises(ValueError, match="no text has a letter"):
        train([silent], 1)
