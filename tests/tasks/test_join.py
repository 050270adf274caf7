"""Joined rows: every utterance once, its labels where its sound is."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.shapes import pad_rows
from freeze_omni.tasks.join import JoinConfig, draw_groups, join_labels, join_sounds, trimmed
from tests.tasks.corpus import ENCODER

HZ = 100
SILENT = JoinConfig(utterances=2, gap_s=(0.1, 0.5), gap_db=(-200.0, -200.0))


def test_groups_hold_every_row_once():
    groups = draw_groups(7, 3)
    assert sorted(map(len, groups)) == [1, 3, 3]
    assert sorted(row for group in groups for row in group) == list(range(7))


def test_labels_stay_with_their_sound():
    torch.manual_seed(0)
    sounds, lengths = pad_rows([torch.full((size,), float(size)) for size in (5, 9, 3, 7)])
    sounds[1, 9:] = sounds[0, 5:] = torch.nan  # padding may hold anything
    labels, counts = pad_rows([torch.tensor([size] * (size % 4)) for size in (5, 9, 3, 7)], value=-1)
    groups = [[2, 0], [3], [1]]
    joined, sizes = join_sounds(sounds, lengths, groups, SILENT, HZ)
    told, told_sizes = join_labels(labels, counts, groups, between=[8])
    assert joined.isfinite().all() and joined.shape == (3, int(sizes.max()))
    said = [[int(x) for x in row.unique_consecutive() if x > 1] for row in joined]
    assert said == [[3, 5], [7], [9]]
    assert [row[:n].tolist() for row, n in zip(told, told_sizes, strict=True)] == [[3, 3, 3, 8, 5], [7, 7, 7], [9]]
    for row, group in zip(sizes, groups, strict=True):
        gaps = int(row) - sum(int(lengths[i]) for i in group)
        assert 10 * (len(group) + 1) <= gaps <= 50 * (len(group) + 1)
    edges = [joined[:, :10], *(row[n - 10 : n] for row, n in zip(joined, sizes, strict=True))]
    assert max(float(edge.abs().max()) for edge in edges) < 1e-6


def test_quiet_edges_are_cut_and_pauses_stay():
    loud, quiet = torch.ones(40), torch.full((30,), 1e-3)
    sound = torch.cat([quiet, loud, quiet, loud, quiet, quiet])
    assert torch.equal(trimmed(sound, -40.0, 1000), sound[30:140])
    assert torch.equal(trimmed(sound, -80.0, 1000), sound)
    for short in (torch.zeros(100), torch.ones(3), torch.ones(0)):
        assert torch.equal(trimmed(short, -40.0, 1000), short)
    config = JoinConfig(gap_s=(0.0, 0.0), trim_db=-40.0)
    joined, sizes = join_sounds(sound[None], torch.tensor([200]), [[0]], config, 1000)
    assert sizes.tolist() == [110] and torch.equal(joined[0], sound[30:140])


def test_a_gap_is_as_loud_as_asked():
    torch.manual_seed(0)
    config = JoinConfig(gap_s=(20.0, 20.0), gap_db=(-40.0, -40.0))
    joined, _ = join_sounds(torch.zeros(1, 1), torch.tensor([1]), [[0]], config, HZ)
    assert joined.shape == (1, 40 * HZ + 1) and float(joined.std()) == pytest.approx(0.01, rel=0.1)


def test_a_pause_lies_at_the_quietest_place_of_the_middle():
    sound = torch.ones(200)
    sound[:10] = sound[110:114] = 0.1
    config = JoinConfig(gap_s=(0.0, 0.0), gap_db=(-200.0, -200.0), paused=1.0, pause_s=(0.5, 0.5))
    joined, sizes = join_sounds(sound[None], torch.tensor([200]), [[0]], config, 100)
    assert sizes.tolist() == [250]
    at = int((joined[0].abs() < 1e-6).nonzero()[0])
    assert 110 <= at <= 114 and joined[0, at : at + 50].abs().max() < 1e-6
    assert torch.equal(torch.cat([joined[0, :at], joined[0, at + 50 :]]), sound)
    for size in (0, 1, 3):
        assert join_sounds(torch.ones(1, size), torch.tensor([size]), [[0]], config, 100)[1].tolist() == [size + 50]


WRONG = ({"utterances": 0}, {"gap_s": (0.5, 0.1)}, {"gap_db": (-10.0, -20.0)}, {"trim_db": 40.0})
WRONG += ({"paused": 1.1}, {"paused": -0.1}, {"pause_s": (0.5, 0.1)})


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings_are_told(wrong):
    with pytest.raises(ValueError, match="join"):
        JoinConfig(**wrong)


def test_joined_training_has_fewer_and_longer_rows(toy):
    model, args = toy.build("1.1", model={"encoder": ENCODER, "join": {"utterances": 2, "gap_s": [0.1, 0.2]}})
    batch = toy.batch("1.1", args)
    heard = []
    model.encoder.register_forward_hook(lambda _, given, out: heard.append((len(given[0]), out[0].shape[1])))
    assert torch.isfinite(model.train()(**batch)[0]).all()
    model.eval()(**batch)
    (rows, frames), (alone, shorter) = heard
    assert rows == 2 and alone == 4 and frames > shorter
