"""The echo reference knows when the system speaks, and its voice from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.data.augment import reverberate, room_response
from freeze_omni.duplex.reference import SIZE, EchoReference

CHUNK = 2560


def talk(seed: int, chunks: int = 20) -> np.ndarray:
    """Noise whose level and colour change several times a second, as those of speech do."""
    rng = np.random.default_rng(seed)
    pieces = []
    while sum(map(len, pieces)) < chunks * CHUNK:
        size = int(rng.uniform(0.05, 0.25) * 16000)
        tone = np.sin(2 * np.pi * rng.uniform(150, 3500) / 16000 * np.arange(size))
        pieces.append((rng.uniform(0, 0.2) * tone + 0.01 * rng.standard_normal(size)) * np.hanning(size))
    return np.concatenate(pieces)[: chunks * CHUNK].astype(np.float32)


def rows(heard: np.ndarray, played: np.ndarray) -> torch.Tensor:
    return EchoReference(CHUNK)(torch.from_numpy(heard)[None], torch.from_numpy(played)[None])[0]


def test_silence_of_the_system_says_nothing() -> None:
    assert rows(talk(1), np.zeros_like(talk(1))).count_nonzero() == 0


def test_it_knows_when_the_system_speaks() -> None:
    played = talk(2)
    played[10 * CHUNK :] = 0
    found = rows(np.zeros_like(played), played)
    assert found.shape == (20, SIZE)
    assert found[:10, 0].all() and found[:10, 1].mean() > 0.5 and not found[11:, 1].any()
    assert not found[18:, 0].any()  # more than a second later


@pytest.mark.parametrize("delay_s", [0.04, 0.2, 0.4])
def test_its_own_voice_is_likelier_than_another(delay_s: float) -> None:
    played, other = talk(3), talk(4)
    late = round(delay_s * 16000)
    room = room_response(0.3, 0.0, 16000, np.random.default_rng(0))
    echo = reverberate(np.pad(played, (late, 0))[: len(played)], room) * np.float32(0.1)
    own, user, both = (rows(heard, played)[6:] for heard in (echo, other, other + echo))
    assert own[:, 2].mean() > 0.8 > 0.5 > user[:, 2].mean()
    assert own[:, 3].mean() < user[:, 3].mean()  # an echo is quieter than what was played
    assert own[:, 4].mean() < both[:, 4].mean()  # and explains all that is heard


def test_both_sides_have_whole_chunks() -> None:
    reference = EchoReference(CHUNK)
    sound = torch.zeros(1, CHUNK)
    for heard, played in ((sound[:, 1:], sound[:, 1:]), (sound, sound[:, :0]), (sound[:, :0], sound[:, :0])):
        with pytest.raises(ValueError, match="multiple of 2560"):
            reference.step(heard, played, reference.initial_state(1))


@pytest.mark.parametrize("late_chunks", [0, 2])
def test_the_newest_chunk_is_told_whatever_the_look_ahead(late_chunks: int) -> None:
    part = EchoReference(CHUNK, late_chunks)
    heard, played = torch.from_numpy(0.1 * talk(4))[None], torch.from_numpy(talk(4))[None]
    heard[:, : 15 * CHUNK] = torch.from_numpy(talk(5))[: 15 * CHUNK]
    state, found = part.initial_state(1), []
    for at in range(0, heard.shape[1], CHUNK):
        out, state = part.step(heard[:, at : at + CHUNK], played[:, at : at + CHUNK], state)
        found.append(part.newest_likeness(out[0, -1], state))
    assert np.mean(found[5:15]) < 0.45 and min(found[-2:]) > 0.8
