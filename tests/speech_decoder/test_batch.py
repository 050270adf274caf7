"""Speech tokens of many users at once: each gets what it gets alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from freeze_omni.speech_decoder.generate import advance, advance_rows, begin
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.streaming import split_state
from tests.speech_decoder.toy import TOY, toy_batch, toy_decoder


def fresh(decoder, batch, sampling):
    state = begin(decoder, sampling, batch.text, batch.hidden, batch.text_lengths, batch.hidden_lengths)
    return [{key: value.clone() for key, value in row.items()} for row in split_state(state)]


PREDICTED = replace(TOY, positions="progress", length="predicted")
TOLD = replace(PREDICTED, reading="told")
SEVERAL = replace(TOY, tokens_per_pass=2), replace(TOLD, tokens_per_pass=3)


@pytest.mark.parametrize("config", [TOY, PREDICTED, TOLD, *SEVERAL])
@pytest.mark.parametrize("top_k", [1, 4])
def test_rows_get_the_tokens_that_they_get_alone(config, top_k):
    decoder, batch, sampling = toy_decoder(config), toy_batch(), SamplingConfig(top_k=top_k)
    together = fresh(decoder, batch, sampling)
    generators = [torch.Generator().manual_seed(row) for row in range(len(together))]
    found = [[] for _ in together]
    for step in range(12):
        rows = [row for row in range(len(together)) if step >= row]  # each begins later than the one before
        drawn = advance_rows(decoder, sampling, [together[row] for row in rows], [generators[row] for row in rows])
        for row, (token, state) in zip(rows, drawn, strict=True):
            found[row].append(token)
            together[row] = state
    for row, state in enumerate(fresh(decoder, batch, sampling)):
        generator = torch.Generator().manual_seed(row)
        for token in found[row]:
            expected, state = advance(decoder, sampling, state, [generator])
            assert token == int(expected)


def test_a_full_cache_grows():
    decoder, batch, sampling = toy_decoder(TOY), toy_batch(), SamplingConfig(top_k=1)
    state = fresh(decoder, batch, sampling)[0]
    state["cache"] = state["cache"][:, :, :, :, : int(state["length"]) + 1]
    for _ in range(3):
        _, state = advance_rows(decoder, sampling, [state], [torch.Generator()])[0]
    assert state["cache"].shape[4] >= int(state["length"])
