"""The convolution adapter's rate, branches and padding."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.conv import ConvAdapter, ConvAdapterConfig


@pytest.mark.parametrize(("llm_size", "layers"), [(33, 2), (32, 1)])
def test_the_released_rule_counts_the_convolutions(llm_size: int, layers: int) -> None:
    assert len(ConvAdapter(ConvAdapterConfig(), 8, llm_size).layers) == layers


def test_two_frames_give_a_position_and_chunks_know_their_ends() -> None:
    enc, lengths = torch.randn(3, 10, 8), torch.tensor([10, 7, 4])
    output = ConvAdapter(ConvAdapterConfig(), 8, 12)(enc, lengths)
    assert output.lengths.tolist() == [5, 4, 2]
    assert output.ends.tolist() == [[2, 4, 5], [2, 4, 4], [2, 2, 2]]
    assert torch.allclose(output.summary[1, 1], enc[1, 4:7].mean(0), atol=1e-6)
    assert not output.summary[2, 1:].any() and not output.embeds[2, 2:].any()


def test_a_stride_of_four_sends_half_as_many_and_streams_the_same() -> None:
    enc, lengths = torch.randn(2, 12, 8), torch.tensor([12, 7])
    adapter = ConvAdapter(ConvAdapterConfig(stride=4), 8, 12)
    output = adapter(enc, lengths)
    assert output.lengths.tolist() == [3, 2] and output.ends.tolist() == [[1, 2, 3], [1, 2, 2]]
    state, parts = adapter.initial_state(2), []
    for start in range(0, 12, 4):
        part, state = adapter.step(enc[:, start : start + 4], state)
        parts.append(part.embeds)
    assert torch.allclose(torch.cat(parts, 1)[0], output.embeds[0], atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_training_is_blind_to_the_padding(norm: str) -> None:
    config = ConvAdapterConfig(norm=norm, convolutions=2)
    enc, lengths = torch.randn(2, 8, 8), torch.tensor([8, 3])
    adapter = ConvAdapter(config, 8, 12).train()
    results = []
    for padding in (0.0, float("nan")):
        enc[1, 3:] = padding
        output = adapter(enc, lengths)
        results.append(output.embeds)
        adapter.zero_grad()
        output.embeds.square().sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in adapter.parameters())
    assert torch.equal(*results)
    longer = torch.cat([enc, torch.zeros(2, 6, 8)], dim=1)
    assert torch.allclose(adapter(longer, lengths).embeds[:, :4], results[0], atol=1e-5)


def test_odd_chunks_and_broken_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk_frames 3"):
        ConvAdapterConfig(chunk_frames=3)
    adapter = ConvAdapter(ConvAdapterConfig(), 8, 12)
    with pytest.raises(ValueError, match="multiple of 4 frames, found 6"):
        adapter.step(torch.zeros(1, 6, 8), adapter.initial_state(1))
