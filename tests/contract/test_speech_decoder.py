"""The speech decoder under the law: token by token = teacher forcing.

It has its own file because its cache is written in place, after the slots in use, and grows:
the general check of a state's form does not fit, the ones below do.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from freeze_omni.speech_decoder import SpeechDecoderConfig
from freeze_omni.speech_decoder import cache as kv
from freeze_omni.streaming import State, split_state
from tests.contract import law
from tests.speech_decoder.toy import TOY, toy_batch, toy_decoder

CONFIGS = {
    "plain": TOY,
    "reshape": replace(TOY, text_rows="reshape"),
    "progress": replace(TOY, positions="progress"),
    "predicted": replace(TOY, positions="progress", length="predicted"),
    "told": replace(TOY, positions="progress", length="predicted", reading="told"),
    "three a pass": replace(TOY, tokens_per_pass=3),
    "two a pass, told": replace(TOY, positions="progress", length="predicted", reading="told", tokens_per_pass=2),
}

STEPS = 6  # after which the AR has read all of them, with one, two or three tokens a pass


def make_part(config: SpeechDecoderConfig) -> law.Part:
    """Texts and prefixes of different lengths; a row that starts has already read the sos."""
    decoder, told = toy_decoder(config), toy_batch()

    def forward(tokens: Tensor, lengths: Tensor) -> law.Rows:
        """Teacher forcing that plans for the length that a start plans for."""
        size = len(tokens)
        text, prefix = (told.text[:size], told.text_lengths[:size]), told.hidden[:size]
        condition = decoder.condition(*text, prefix, told.hidden_lengths[:size])
        return law.rows_of(decoder.speech(condition, tokens, lengths)[:, 1:], lengths)

    def initial_state(batch: int) -> State:
        pairs = (told.text_lengths[:batch], told.hidden_lengths[:batch])
        state = decoder.start(told.text[:batch], told.hidden[:batch], *pairs)
        return decoder.step(torch.full((batch,), config.sos), state)[1]

    def step(tokens: Tensor, state: State) -> tuple[law.Rows, State]:
        pieces = []
        for token in tokens.unbind(1):
            logits, state = decoder.step(token, state)
            pieces.append(logits)
        return law.rows_of(torch.stack(pieces, dim=1)), state

    return law.Part(
        chunk=1,
        make_input=lambda batch, size: torch.randint(config.codes, (batch, size)),
        forward=forward,
        initial_state=initial_state,
        step=step,
        pads_with_nan=False,
    )


@pytest.fixture(params=sorted(CONFIGS))
def part(request: pytest.FixtureRequest) -> law.Part:
    torch.manual_seed(3)
    return make_part(CONFIGS[request.param])


def test_token_by_token_equals_all_at_once(part):
    law.check_chunk_by_chunk(part)


def test_any_split_gives_the_same(part):
    law.check_random_splits(part, trials=2)


def test_rows_of_different_age_share_a_batch(part):
    law.check_rows_out_of_step(part)


def test_padding_changes_nothing(part):
    law.check_padding(part)


def test_the_past_does_not_depend_on_the_future(part):
    law.check_causal(part)


def test_growing_capacity_keeps_the_law(part, monkeypatch):
    monkeypatch.setattr(kv, "SMALLEST_CAPACITY", 1)
    assert part.initial_state(2)["cache"].shape[4] < 40
    law.check_chunk_by_chunk(part, chunks=40)


@torch.no_grad()
def test_a_step_writes_after_the_slots_in_use_only(part):
    state = part.initial_state(3)
    before = {key: value.clone() for key, value in state.items()}
    _, after = part.step(part.make_input(3, STEPS), state)
    assert torch.equal(state["length"], before["length"])
    assert torch.equal(after["length"], before["length"] + STEPS)
    for row, length in enumerate(before["length"].tolist()):
        for used in (state, after):
            rows = [state["cache"][row, ..., :length, :] for state in (used, before)]
            assert torch.equal(*rows)
        assert not after["cache"][row, ..., length + STEPS :, :].any()


@torch.no_grad()
def test_a_step_copies_no_cache(part):
    state = part.initial_state(2)
    _, after = part.step(part.make_input(2, 3), state)
    assert after["cache"].data_ptr() == state["cache"].data_ptr()


@torch.no_grad()
def test_states_of_different_capacity_join(part):
    small, large = split_state(part.initial_state(2))
    large = {**large, "cache": kv.grow(large["cache"], 2 * large["cache"].shape[4])}
    tokens = part.make_input(2, 2)
    alone = [part.step(tokens[i : i + 1], state)[0][0] for i, state in enumerate((small, large))]
    together, _ = part.step(tokens, kv.join([small, large]))
    assert law.max_error(together, alone) < 2e-5
