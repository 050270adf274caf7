"""Teacher forcing, loss and size of the speech decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from freeze_omni.config import ConfigError, build
from freeze_omni.speech_decoder import SpeechDecoder, SpeechDecoderConfig
from tests.speech_decoder.toy import LLM_SIZE, TOY, toy_batch, toy_decoder

VARIANTS = {
    "plain": TOY,
    "reshape": replace(TOY, text_rows="reshape"),
    "progress": replace(TOY, positions="progress"),
    "predicted": replace(TOY, positions="progress", length="predicted"),
    "told": replace(TOY, positions="progress", length="predicted", reading="told"),
    "without_pre_network": replace(TOY, pre_layers=0),
}


@pytest.fixture(params=sorted(VARIANTS))
def decoder(request: pytest.FixtureRequest) -> SpeechDecoder:
    torch.manual_seed(2)
    return toy_decoder(VARIANTS[request.param])


@torch.no_grad()
def test_a_ragged_batch_is_its_rows_alone(decoder):
    batch = toy_batch()
    logits = decoder(*batch.all())
    assert logits.shape == (3, 10, TOY.vocabulary)
    for index, length in enumerate(batch.token_lengths.tolist()):
        text, text_lengths, tokens, token_lengths, hidden, hidden_lengths = batch.row(index)
        prefix = (hidden, hidden_lengths) if hidden.shape[1] else ()
        alone = decoder(text, text_lengths, tokens, token_lengths, *prefix)
        torch.testing.assert_close(logits[index, : length + 1], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_speech_is_causal_and_hears_text_and_prefix(decoder):
    call = toy_batch().row(0)
    logits = decoder(*call)

    def moved(argument: int, place: int) -> torch.Tensor:
        changed = [value.clone() for value in call]
        changed[argument][0, place] = (changed[argument][0, place] + 1) % TOY.codes
        return (decoder(*changed) - logits).abs().amax(dim=-1)[0] > 1e-6

    later = moved(2, 4)
    assert not later[:5].any() and later[5:].all()
    assert moved(0, 4).all() and moved(4, 3).all()


def test_loss_counts_tokens_and_eos_once(decoder):
    batch = toy_batch()
    loss, stats = decoder.loss(*batch.all())
    summed = 0.0
    for index in range(3):
        logits = decoder(*batch.row(index))[0]
        target = F.pad(batch.row(index)[2][0], (0, 1), value=TOY.eos)
        summed = summed + F.cross_entropy(logits, target, reduction="sum")
    expected = summed / (batch.token_lengths + 1).sum()
    torch.testing.assert_close(stats["ce"], expected.detach(), atol=1e-5, rtol=1e-5)
    assert ("length" in stats) == (decoder.config.length == "predicted")
    assert 0 <= stats["acc"] <= stats["acc10"] <= 1
    loss.backward()
    grads = {name: part.grad for name, part in decoder.named_parameters() if part.requires_grad}
    assert not [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()]


def test_token_dropout_hides_tokens_from_the_ar_in_training_alone():
    torch.manual_seed(0)
    decoder = toy_decoder(replace(TOY, dropout=0.0, token_dropout=0.9))
    batch = toy_batch()
    assert torch.equal(decoder.loss(*batch.all())[0], decoder.loss(*batch.all())[0])
    heard = []
    decoder.embedding.register_forward_hook(lambda _, given, out: heard.append(given[0]))
    decoder.train().loss(*batch.all())
    assert heard[0][:, 0].eq(TOY.sos).all()
    lost = heard[0][:, 1:].eq(TOY.pad) & (torch.arange(heard[0].shape[1] - 1) < batch.token_lengths[:, None])
    assert 0.7 < float(lost.sum() / batch.token_lengths.sum()) <= 1


def test_stage_without_prefix_leaves_it_alone(decoder):
    batch = toy_batch()
    decoder.loss(*batch.all()[:4])[0].backward()
    assert all(part.grad is None for part in decoder.prefix.parameters())


def test_guided_attention_falls_when_trained_on():
    torch.manual_seed(0)
    decoder = toy_decoder(replace(TOY, guide_weight=5.0)).train()
    batch = toy_batch()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    seen = []
    for _ in range(30):
        loss, stats = decoder.loss(*batch.all())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(stats["guide"]))
    assert seen[-1] < 0.5 * seen[0]


def test_predicted_length_is_learned():
    torch.manual_seed(0)
    decoder = toy_decoder(VARIANTS["predicted"]).train()
    batch = toy_batch()
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(60):
        loss, stats = decoder.loss(*batch.all())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(stats["length"]) < 0.1


@torch.no_grad()
def test_prefix_can_start_from_the_ar():
    torch.manual_seed(0)
    decoder = toy_decoder()
    decoder.copy_ar_to_prefix()
    pairs = zip(decoder.prefix.parameters(), decoder.ar.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_paper_size():
    """164.7 M parameters with prefix and pre-network, counted without allocating them."""
    with torch.device("meta"):
        decoder = SpeechDecoder(SpeechDecoderConfig(text_rows="reshape"), 3584)
    layer = 4 * 896 * 896 + 3 * 896 * 4864 + 2 * 896
    ends = 2 * 1028 * 896 + 1028 + 896
    count = sum(part.numel() for part in decoder.parameters())
    assert count == 10 * layer + ends and f"{count / 1e6:.1f}" == "164.7"
    stacks = {"nar": 2, "prefix": 4, "ar": 4}
    assert {name: len(getattr(decoder, name)) for name in stacks} == stacks


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="text_rows: project"):
        SpeechDecoder(replace(TOY, text_rows="reshape"), LLM_SIZE + 1)
    with pytest.raises(ConfigError, match="tts.yaml.*positions: progress"):
        build(SpeechDecoderConfig, {"length": "predicted"}, where="tts.yaml")
    with pytest.raises(ValueError, match="cut the segment"):
        toy_decoder(replace(TOY, max_positions=15))(*toy_batch().all())
