"""Several speech tokens of one pass of the AR."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from freeze_omni.released.speech_decoder import to_released
from freeze_omni.speech_decoder.generate import begin, generate_batch
from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.speech_decoder.toy import TOY, toy_batch, toy_decoder

THREE = replace(TOY, tokens_per_pass=3)
GREEDY = SamplingConfig(top_k=1, penalty_window=0, max_tokens=12)


def sentence_of(batch, index):
    text, text_lengths, *_ = batch.row(index)
    return text[0, : int(text_lengths)]


def test_the_ar_alone_is_the_decoder_without_modules():
    torch.manual_seed(1)
    several, batch = toy_decoder(THREE), toy_batch()
    plain = toy_decoder(TOY)
    plain.load_state_dict({k: v for k, v in several.state_dict().items() if not k.startswith("multi_token.")})
    texts = [sentence_of(batch, index) for index in range(3)]
    said = generate_batch(several, texts, sampling=replace(GREEDY, tokens_per_pass=1))
    assert all(torch.equal(*rows) for rows in zip(said, generate_batch(plain, texts, sampling=GREEDY), strict=True))


def test_a_pass_for_three_tokens(monkeypatch):
    torch.manual_seed(1)
    decoder, batch, passes = toy_decoder(THREE), toy_batch(), []
    monkeypatch.setattr(
        decoder, "_read", lambda tokens, state, read=decoder._read: passes.append(0) or read(tokens, state)
    )
    guard = replace(GREEDY, min_tokens_per_row=100.0)
    assert len(generate_batch(decoder, [sentence_of(batch, 0)], sampling=guard)[0]) == 12
    assert len(passes) == 4


def test_all_depths_count_alike_in_the_loss():
    torch.manual_seed(1)
    decoder, batch = toy_decoder(THREE), toy_batch()
    text, text_lengths, tokens, lengths = batch.row(1)[:4]
    loss, stats = decoder.loss(text, text_lengths, tokens, lengths)
    condition = decoder.condition(text, text_lengths)
    states, _ = decoder._speak(condition, tokens, lengths)
    target = F.pad(tokens[0], (0, 1), value=TOY.eos)
    each = [F.cross_entropy(decoder.output(decoder.norm(one[0])), target[k:]) for k, one in enumerate(states)]
    torch.testing.assert_close(loss, torch.stack(each).mean())
    torch.testing.assert_close(stats["ce"], each[0].detach())
    torch.testing.assert_close(stats["ce_further"], torch.stack(each[1:]).mean().detach())


def test_it_learns_what_it_is_to_say():
    torch.manual_seed(0)
    decoder, batch = toy_decoder(THREE).train(), toy_batch()
    optimizer = torch.optim.Adam([one for one in decoder.parameters() if one.requires_grad], lr=1e-2)
    for _ in range(150):
        loss, _ = decoder.loss(*batch.all()[:4])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(one.grad is not None for one in decoder.multi_token.parameters())
    said = generate_batch(decoder.eval(), [sentence_of(batch, index) for index in range(3)], sampling=GREEDY)
    wanted = [row[:length] for row, length in zip(batch.tokens, batch.token_lengths.tolist(), strict=True)]
    assert [row.tolist() for row in said] == [row.tolist() for row in wanted]


def test_no_more_tokens_than_it_has_learned():
    with pytest.raises(ValueError, match="tokens_per_pass: 4, but this speech decoder has learned 3"):
        begin(toy_decoder(THREE), replace(GREEDY, tokens_per_pass=4), torch.zeros(1, 2, 32))


def test_the_published_layout_is_the_ar_alone():
    config = replace(THREE, text_rows="reshape")
    state = toy_decoder(config).state_dict()
    assert not [name for name in to_released(state, config) if "multi" in name]
