"""The row that is given to the AR at each speech token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from freeze_omni.config import ConfigError, build
from freeze_omni.speech_decoder import SpeechDecoderConfig
from freeze_omni.speech_decoder import cache as kv
from freeze_omni.speech_decoder.rows import FURTHEST, as_script, look_up, row_ends
from tests.speech_decoder.toy import TOY, toy_batch, toy_decoder

TOLD = replace(TOY, positions="progress", length="predicted", reading="told")


def test_a_token_is_told_the_row_it_says_and_its_neighbours():
    rows = torch.tensor([[1.0, 2.0, 3.0, torch.nan]])[..., None]
    lengths = torch.tensor([3])
    ends = row_ends(torch.tensor([[2.0, 0.0, 3.0, 7.0]]), lengths)
    around, since, until = look_up(as_script(rows, lengths), ends, torch.arange(6)[None])
    assert around[0].tolist() == [[0, 1, 2]] * 2 + [[2, 3, 0]] * 3 + [[3, 0, 0]]
    assert since[0].tolist() == [0, 1, 0, 1, 2, 0]
    assert until[0].tolist() == [1, 0, 2, 1, 0, FURTHEST]


def test_durations_reach_the_tokens_they_are_of():
    torch.manual_seed(0)
    decoder, batch = toy_decoder(TOLD), toy_batch()
    durations = torch.ones_like(batch.text_lengths)[:, None].expand(-1, batch.text.shape[1]).clone()

    def logits(row_tokens):
        condition = decoder.condition(*batch.all()[:2], row_tokens=row_tokens)
        return decoder.speech(condition, batch.tokens, batch.token_lengths)

    before = logits(durations)
    durations[0, 3] += 1  # every later row comes a token later; earlier ones stay
    script = decoder.condition(*batch.all()[:2], row_tokens=durations)
    assert script.ends[0, :3].tolist() == [1, 2, 3] and script.ends[0, 3] == 5
    assert (logits(durations)[0] - before[0]).abs().max() > 1e-4


def test_row_durations_are_learned_row_by_row():
    torch.manual_seed(0)
    decoder, batch = toy_decoder(TOLD).train(), toy_batch()
    row_tokens = torch.randint(0, 5, batch.text.shape[:2])
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(80):
        loss, stats = decoder.loss(*batch.all(), row_tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(stats["length"]) < 0.15
    predicted = decoder.eval().condition(*batch.all()[:2], batch.hidden, batch.hidden_lengths).durations
    for row, length in enumerate(batch.text_lengths.tolist()):
        torch.testing.assert_close(predicted[row, :length].round().long(), row_tokens[row, :length], atol=1, rtol=0)


def test_scripts_of_different_length_share_a_batch():
    decoder, batch = toy_decoder(TOLD), toy_batch()
    states = [decoder.start(batch.row(index)[0]) for index in range(3)]
    sos = torch.full((3,), TOLD.sos)
    alone = [decoder.step(sos[:1], {**state, "cache": state["cache"].clone()})[0] for state in states]
    torch.testing.assert_close(decoder.step(sos, kv.join(states))[0], torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_a_row_needs_its_own_duration():
    with pytest.raises(ConfigError, match="tts.yaml.*length: predicted"):
        build(SpeechDecoderConfig, {"reading": "told", "positions": "progress"}, where="tts.yaml")
