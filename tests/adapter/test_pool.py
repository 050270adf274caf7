"""The adapter at token rate: which frames a word is made of, and that no embedding is looked up."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.pool import PoolAdapter, PoolAdapterConfig
from freeze_omni.adapter.words import WordTokens
from freeze_omni.encoder.search import Said

IDS = torch.tensor([[0, -1], [1, 2], [3, 4]])
CONFIG = PoolAdapterConfig(size=8, heads=2, layers=1, reach=8, margin=1)


def refuses(ids):
    raise AssertionError("an embedding was looked up")


WORDS = WordTokens(torch.stack([IDS, IDS]), refuses)


def said(words, ends, until) -> Said:
    lengths = torch.tensor([len([word for word in row if word is not None]) for row in words])
    numbers = torch.tensor([[word or 0 for word in row] for row in words])
    return Said(numbers, lengths, torch.tensor(ends), torch.tensor(until))


SAID = said([[1, 0], [2, None]], [[0, 2], [1, 1]], [[3, 6], [4, 0]])


@pytest.fixture
def adapter():
    torch.manual_seed(3)
    return PoolAdapter(CONFIG, 4, 6, WORDS).eval()


def read_frames(adapter, enc, lengths, found) -> list[list[int]]:
    """Of each position of the first row the frames that it depends on."""
    enc = enc.clone().requires_grad_()
    output = adapter(enc, lengths, said=found)
    seen = []
    for position in output.embeds[0, : output.lengths[0]]:
        (grad,) = torch.autograd.grad(position.square().sum(), enc, retain_graph=True)
        assert not grad[1:].any()
        seen.append(grad[0].abs().sum(-1).nonzero()[:, 0].tolist())
    return seen


def test_a_position_for_each_token_and_no_embedding(adapter):
    output = adapter(torch.randn(2, 8, 4), torch.tensor([8, 6]), said=SAID)
    assert output.lengths.tolist() == [3, 2] and output.ends.tolist() == [[0, 3], [2, 2]]
    assert output.embeds.shape == (2, 3, 6) and not output.embeds[1, 2].any()
    assert not torch.allclose(output.embeds[0, 0], output.embeds[0, 1], atol=1e-3), "each token has its query"


def test_a_word_is_read_in_its_frames_and_a_margin(adapter):
    seen = read_frames(adapter, torch.randn(2, 8, 4), torch.tensor([8, 6]), SAID)
    assert seen == [[0, 1, 2, 3], [0, 1, 2, 3], [2, 3, 4, 5, 6]]


def test_what_is_longer_ago_than_its_reach_is_not_read(adapter):
    late = said([[0]], [[0, 0, 0, 1]], [[15]])
    assert read_frames(adapter, torch.randn(1, 16, 4), torch.tensor([16]), late) == [[8, 9, 10, 11, 12, 13, 14, 15]]
    waited = said([[0]], [[0, 0, 0, 1]], [[4]])
    assert read_frames(adapter, torch.randn(1, 16, 4), torch.tensor([16]), waited) == [[8]], "one frame at least"


def test_a_state_keeps_the_frames_since_the_last_word(adapter):
    enc = torch.randn(1, 12, 4)
    whole = adapter(enc, torch.tensor([12]), said=said([[1, 0]], [[0, 1, 2]], [[6, 11]]))
    state, sent = adapter.initial_state(1), []
    nothing = Said(torch.zeros(1, 0, dtype=torch.long), torch.tensor([0]), torch.tensor([[0]]), torch.zeros(1, 0))
    for part, found in zip(
        enc.split(4, 1), (nothing, said([[1]], [[1]], [[2]]), said([[0]], [[1]], [[3]])), strict=True
    ):
        output, state = adapter.step(part, state, said=found)
        sent.append(output.embeds[0])
    torch.testing.assert_close(torch.cat(sent), whole.embeds[0], rtol=1e-4, atol=1e-5)


def test_the_first_word_of_a_turn_is_told_from_others(adapter):
    enc, one = torch.randn(1, 4, 4), said([[0]], [[1]], [[3]])
    state = adapter.initial_state(1)
    first = adapter.step(enc, state, said=one)[0].embeds
    later = adapter.step(enc, state | {"begun": torch.tensor([True])}, said=one)[0].embeds
    assert not torch.allclose(first, later, atol=1e-3)


def test_padding_and_silence_say_nothing(adapter):
    enc = torch.randn(2, 8, 4)
    output = adapter(enc, torch.tensor([8, 6]), said=SAID)
    enc[1, 6:] = float("nan")
    assert torch.equal(adapter(enc, torch.tensor([8, 6]), said=SAID).embeds, output.embeds)
    silent = said([[None], [None]], [[0, 0], [0, 0]], [[0], [0]])
    assert adapter(enc, torch.tensor([8, 6]), said=silent).embeds.shape == (2, 0, 6)


def test_every_weight_learns_and_none_is_the_llms(adapter):
    adapter(torch.randn(2, 8, 4), torch.tensor([8, 6]), said=SAID).embeds.square().sum().backward()
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    assert "ids" not in adapter.state_dict()


def test_what_is_missing_or_wrong_is_named():
    with pytest.raises(ValueError, match="--unit_kind word"):
        PoolAdapter(CONFIG, 4, 6)
    with pytest.raises(ValueError, match="pass said"):
        PoolAdapter(CONFIG, 4, 6, WORDS)(torch.randn(1, 8, 4), torch.tensor([8]))
    with pytest.raises(ValueError, match="size 10 is not a multiple of heads 4"):
        PoolAdapterConfig(size=10)
    with pytest.raises(ValueError, match="reach"):
        PoolAdapterConfig(reach=2)
