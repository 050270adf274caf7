"""The CTC adapter: what it sends, when, and what learns."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.ctc import CtcAdapter, CtcAdapterConfig


def _logits(paths: list[list[int]], units: int = 4, sure: float = 50.0) -> torch.Tensor:
    return sure * torch.nn.functional.one_hot(torch.tensor(paths), units)


PATHS = [[0, 1, 1, 0, 2, 2, 3, 0], [3, 0, 3, 3, 1, 1, 1, 1]]


def test_a_fresh_adapter_sends_the_llms_own_embeddings() -> None:
    embeds, enc = torch.randn(4, 6), torch.randn(2, 8, 5)
    adapter = CtcAdapter(CtcAdapterConfig(), 5, 6, embeds)
    output = adapter(enc, torch.tensor([8, 5]), _logits(PATHS))
    assert output.lengths.tolist() == [3, 3]
    assert output.ends.tolist() == [[1, 3], [2, 3]]
    assert torch.allclose(output.embeds[0], embeds[[1, 2, 3]], atol=1e-5)
    assert torch.allclose(output.embeds[1], embeds[[3, 3, 1]], atol=1e-5)
    assert torch.allclose(output.summary[1, 1], enc[1, 4], atol=1e-6)


def test_the_value_is_the_expectation_without_the_blank() -> None:
    embeds = torch.randn(3, 6)
    logits = torch.tensor([[[0.9, 1.0, 1.0 - 1e-4]]])
    adapter = CtcAdapter(CtcAdapterConfig(scale=2.0), 5, 6, embeds)
    output = adapter(torch.zeros(1, 1, 5), torch.tensor([1]), logits)
    assert torch.allclose(output.embeds[0, 0], 2 * embeds[1:].mean(0), atol=1e-3)


def test_the_likeliest_unit_alone_with_the_gradient_of_the_expectation() -> None:
    embeds = torch.randn(3, 6)
    logits = torch.tensor([[[0.9, 1.0, 0.5]]])
    grads = []
    for best in (False, True):
        adapter = CtcAdapter(CtcAdapterConfig(best=best), 5, 6, embeds)
        told = logits.clone().requires_grad_()
        output = adapter(torch.zeros(1, 1, 5), torch.tensor([1]), told)
        assert torch.allclose(output.embeds[0, 0], embeds[1], atol=1e-6) == best
        output.embeds[0, 0, 0].backward()
        grads.append(told.grad)
    torch.testing.assert_close(grads[0], grads[1])
    assert grads[1].abs().sum() > 0


def test_silence_sends_nothing() -> None:
    adapter = CtcAdapter(CtcAdapterConfig(), 5, 6, torch.randn(4, 6))
    output, _ = adapter.step(torch.randn(2, 4, 5), adapter.initial_state(2), _logits([[0] * 4, [0] * 4]))
    assert output.embeds.shape == (2, 0, 6) and output.ends.tolist() == [[0], [0]]


def test_gradient_reaches_the_encoder_both_ways() -> None:
    adapter = CtcAdapter(CtcAdapterConfig(), 5, 6, torch.randn(4, 6))
    torch.nn.init.normal_(adapter.project.weight)
    enc = torch.randn(2, 8, 5, requires_grad=True)
    logits = _logits(PATHS, sure=1.0).requires_grad_()
    adapter(enc, torch.tensor([8, 8]), logits).embeds.square().sum().backward()
    sent = torch.tensor(PATHS[0]).diff(prepend=torch.tensor([0])).ne(0) & torch.tensor(PATHS[0]).ne(0)
    assert torch.equal(enc.grad[0].abs().sum(-1) > 0, sent)
    assert torch.equal(logits.grad[0].abs().sum(-1) > 0, sent)
    assert not logits.grad[..., 0].any()


def test_the_llms_rows_are_neither_saved_nor_trained() -> None:
    adapter = CtcAdapter(CtcAdapterConfig(), 5, 6, torch.randn(4, 6))
    assert set(adapter.state_dict()) == {"project.weight", "project.bias"}
    assert {name for name, _ in adapter.named_parameters()} == {"project.weight", "project.bias"}


def test_a_projection_alone_does_not_start_at_zero() -> None:
    adapter = CtcAdapter(CtcAdapterConfig(posterior=False), 5, 6)
    output = adapter(torch.randn(2, 8, 5), torch.tensor([8, 8]), _logits(PATHS))
    assert output.embeds.any()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="posterior: true needs embeddings of width 6.*none"):
        CtcAdapter(CtcAdapterConfig(), 5, 6)
    with pytest.raises(ValueError, match="found width 7"):
        CtcAdapter(CtcAdapterConfig(), 5, 6, torch.zeros(4, 7))
    adapter = CtcAdapter(CtcAdapterConfig(), 5, 6, torch.zeros(4, 6))
    with pytest.raises(ValueError, match="pass ctc_logits"):
        adapter(torch.zeros(1, 4, 5), torch.tensor([4]))
