"""Generation for one user and for a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from freeze_omni.speech_decoder import SamplingConfig
from freeze_omni.speech_decoder.cache import join
from freeze_omni.speech_decoder.generate import advance, begin, generate, generate_batch
from tests.speech_decoder.toy import LLM_SIZE, TOY, toy_decoder


@pytest.mark.parametrize("text_rows", ["project", "reshape"])
@pytest.mark.parametrize("top_k", [1, 3])
def test_a_batch_says_what_each_would_say_alone(text_rows, top_k):
    torch.manual_seed(5)
    decoder = toy_decoder(replace(TOY, text_rows=text_rows))
    sampling = SamplingConfig(top_k=top_k, max_tokens_per_row=4.0)
    texts = [torch.randn(size, LLM_SIZE) for size in (4, 2, 7)]
    hiddens = [torch.randn(size, LLM_SIZE) for size in (3, 2, 5)]

    def seeds() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    together = generate_batch(decoder, texts, hiddens, sampling, seeds())
    assert len({len(tokens) for tokens in together}) > 1
    for text, hidden, generator, tokens in zip(texts, hiddens, seeds(), together, strict=True):
        assert list(generate(decoder, text, hidden, sampling, generator)) == tokens.tolist()


def test_it_stops_at_max_tokens_and_at_max_positions():
    decoder = toy_decoder(replace(TOY, max_positions=20))
    with torch.no_grad():
        decoder.output.bias[TOY.eos] = -1e4
    text = torch.randn(5, LLM_SIZE)
    assert len(list(generate(decoder, text, max_tokens=4))) == 4
    assert len(list(generate(decoder, text))) == 20 - 5 - 2


def test_a_decoder_that_ends_at_once_says_nothing():
    decoder = toy_decoder()
    with torch.no_grad():
        decoder.output.bias[TOY.eos] = 1e4
    texts = [torch.randn(5, LLM_SIZE), torch.randn(2, LLM_SIZE)]
    assert list(generate(decoder, texts[0])) == []
    assert [len(tokens) for tokens in generate_batch(decoder, texts)] == [0, 0]


def test_a_server_may_step_users_of_different_age_together():
    torch.manual_seed(6)
    decoder, sampling = toy_decoder(), SamplingConfig(top_k=1)
    with torch.no_grad():
        decoder.output.bias[TOY.eos] = -1e4
    texts = [torch.randn(1, size, LLM_SIZE) for size in (5, 3)]
    alone = [list(generate(decoder, text[0], None, sampling, max_tokens=12)) for text in texts]
    old = begin(decoder, sampling, texts[0])
    said: list[int] = []
    for _ in range(4):
        token, old = advance(decoder, sampling, old)
        said.append(int(token))
    both, columns = join([old, begin(decoder, sampling, texts[1])]), []
    for _ in range(8):
        token, both = advance(decoder, sampling, both)
        columns.append(token)
    together = torch.stack(columns, dim=1).tolist()
    assert said + together[0] == alone[0]
    assert together[1] == alone[1][:8]
