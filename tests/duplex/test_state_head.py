"""The state head reads the right positions and ignores what has no label."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.duplex.state_head import StateHead, StateHeadConfig, chunk_hidden


def test_a_chunk_without_a_position_reads_the_one_before():
    hidden = torch.arange(2 * 9).reshape(2, 9, 1).float()
    ends = torch.tensor([[0, 2, 2, 3], [1, 1, 4, 4]])
    found = chunk_hidden(hidden, torch.tensor([4, 2]), ends)[..., 0]
    assert found.tolist() == [[3, 5, 5, 6], [9 + 2, 9 + 2, 9 + 5, 9 + 5]]


def test_the_summary_tells_chunks_apart():
    head = StateHead(StateHeadConfig(), llm_size=6, summary_size=4)
    hidden, summary = torch.randn(1, 6).expand(2, 3, 6), torch.randn(2, 3, 4)
    logits = head(hidden, summary)
    assert logits.shape == (2, 3, 3) and not torch.allclose(logits[0, 0], logits[0, 1])
    with pytest.raises(ValueError, match="summary"):
        head(hidden)


def test_the_imported_head_drops_its_fourth_logit():
    head = StateHead(StateHeadConfig(summary=False, released=True), llm_size=6)
    assert head.output.weight.shape == (4, 6)
    hidden = torch.randn(5, 6)
    torch.testing.assert_close(head(hidden), head.output(hidden)[:, :3])
    with pytest.raises(ValueError, match="summary: false"):
        StateHeadConfig(released=True)


def test_a_hidden_layer_stands_before_the_logits():
    head = StateHead(StateHeadConfig(hidden=5), llm_size=6, summary_size=4)
    hidden, summary = torch.randn(2, 3, 6), torch.randn(2, 3, 4)
    features = torch.cat([hidden, summary], dim=-1)
    between = torch.nn.functional.gelu(features @ head.hidden.weight.T + head.hidden.bias)
    torch.testing.assert_close(head(hidden, summary), between @ head.output.weight.T + head.output.bias)
    assert head.output.weight.shape == (3, 5)
    assert set(StateHead(StateHeadConfig(), 6, 4).state_dict()) == {"output.weight", "output.bias"}
    with pytest.raises(ValueError, match="hidden"):
        StateHeadConfig(summary=False, released=True, hidden=5)


def test_no_label_is_no_loss():
    head = StateHead(StateHeadConfig(summary=False), llm_size=6)
    hidden, labels = torch.randn(2, 4, 6), torch.tensor([[0, 1, -1, -1], [2, -1, -1, -1]])
    logits = head(hidden)
    picked = torch.stack([logits[0, 0], logits[0, 1], logits[1, 0]])
    expected = torch.nn.functional.cross_entropy(picked, torch.tensor([0, 1, 2]))
    torch.testing.assert_close(head.loss(logits, labels), expected)
    none = head.loss(logits, torch.full((2, 4), -1))
    none.backward()
    assert none == 0 and not head.output.weight.grad.any()


def test_class_weights_weigh():
    config = StateHeadConfig(summary=False, class_weights=(1.0, 5.0, 1.0))
    head = StateHead(config, llm_size=6)
    logits, labels = torch.tensor([[0.0, 0.0, 3.0], [0.0, 4.0, 0.0]]), torch.tensor([0, 1])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(head.loss(logits, labels), (losses[0] + 5 * losses[1]) / 6)
    with pytest.raises(ValueError, match="class_weights"):
        StateHeadConfig(class_weights=(1.0, 0.0, 1.0))


def test_dropout_is_for_training_alone():
    torch.manual_seed(777)
    head = StateHead(StateHeadConfig(summary=False, dropout=0.5), llm_size=64)
    plain = StateHead(StateHeadConfig(summary=False), llm_size=64)
    plain.load_state_dict(head.state_dict())
    hidden = torch.randn(3, 64)
    assert not torch.allclose(head.train()(hidden), plain(hidden))
    assert torch.equal(head.eval()(hidden), plain(hidden))
    with pytest.raises(ValueError, match="dropout"):
        StateHeadConfig(dropout=1.0)


def test_a_fourth_state_is_an_option():
    head = StateHead(StateHeadConfig(wait=True, class_weights=(1.0, 1.0, 1.0, 2.0)), llm_size=6, summary_size=4)
    logits = head(torch.randn(2, 3, 6), torch.randn(2, 3, 4))
    assert logits.shape == (2, 3, 4) and torch.isfinite(head.loss(logits, torch.full((2, 3), 3)))
    with pytest.raises(ValueError, match="4 numbers"):
        StateHeadConfig(wait=True, class_weights=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="wait: false"):
        StateHeadConfig(wait=True, summary=False, released=True)


def test_a_head_without_wait_learns_that_as_nothing_to_answer():
    head = StateHead(StateHeadConfig(summary=False), llm_size=6)
    logits = head(torch.randn(4, 6))
    torch.testing.assert_close(
        head.loss(logits, torch.tensor([3, 0, 3, -1])), head.loss(logits, torch.tensor([2, 0, 2, -1]))
    )
